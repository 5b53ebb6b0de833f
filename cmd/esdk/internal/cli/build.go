package cli

// FullBuild is a hint at the full build, which also reaches other clouds and
// tokens. The default build is smaller without them.
const FullBuild = "take the full build, esdk-full, or make it with \"make build-full\""

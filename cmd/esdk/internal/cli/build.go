package cli

// FullBuild is how to get the build that reaches other clouds and tokens, which
// the default one is smaller without.
const FullBuild = "take the full build, esdk-full, or make it with \"make build-full\""

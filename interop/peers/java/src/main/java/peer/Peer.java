package peer;

import com.amazonaws.encryptionsdk.AwsCrypto;
import com.amazonaws.encryptionsdk.CommitmentPolicy;
import com.amazonaws.encryptionsdk.CryptoAlgorithm;
import com.amazonaws.encryptionsdk.CryptoInputStream;
import com.amazonaws.encryptionsdk.CryptoResult;
import com.amazonaws.encryptionsdk.MasterKeyProvider;
import com.amazonaws.encryptionsdk.jce.JceMasterKey;
import com.amazonaws.encryptionsdk.kmssdkv2.AwsKmsMrkAwareMasterKeyProvider;
import com.amazonaws.encryptionsdk.kmssdkv2.KmsMasterKeyProvider;
import com.amazonaws.encryptionsdk.multi.MultipleProviderFactory;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.interfaces.RSAPrivateCrtKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.RSAPublicKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.crypto.spec.SecretKeySpec;
import software.amazon.awssdk.awscore.client.builder.AwsClientBuilder;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.kms.KmsClient;
import software.amazon.awssdk.services.kms.model.EncryptionAlgorithmSpec;
import software.amazon.cryptography.keystore.KeyStore;
import software.amazon.cryptography.keystore.model.CreateKeyInput;
import software.amazon.cryptography.keystore.model.CreateKeyStoreInput;
import software.amazon.cryptography.keystore.model.Discovery;
import software.amazon.cryptography.keystore.model.GetActiveBranchKeyInput;
import software.amazon.cryptography.keystore.model.GetBeaconKeyInput;
import software.amazon.cryptography.keystore.model.KMSConfiguration;
import software.amazon.cryptography.keystore.model.KeyStoreConfig;
import software.amazon.cryptography.keystore.model.VersionKeyInput;
import software.amazon.cryptography.materialproviders.ICryptographicMaterialsManager;
import software.amazon.cryptography.materialproviders.IKeyring;
import software.amazon.cryptography.materialproviders.MaterialProviders;
import software.amazon.cryptography.materialproviders.model.AesWrappingAlg;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsDiscoveryKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsEcdhKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsHierarchicalKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsMrkDiscoveryKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsMrkKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsRsaKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateDefaultCryptographicMaterialsManagerInput;
import software.amazon.cryptography.materialproviders.model.CreateMultiKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRawAesKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRawEcdhKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRawRsaKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRequiredEncryptionContextCMMInput;
import software.amazon.cryptography.materialproviders.model.DiscoveryFilter;
import software.amazon.cryptography.materialproviders.model.EphemeralPrivateKeyToStaticPublicKeyInput;
import software.amazon.cryptography.materialproviders.model.KmsEcdhStaticConfigurations;
import software.amazon.cryptography.materialproviders.model.KmsPrivateKeyToStaticPublicKeyInput;
import software.amazon.cryptography.materialproviders.model.KmsPublicKeyDiscoveryInput;
import software.amazon.cryptography.materialproviders.model.MaterialProvidersConfig;
import software.amazon.cryptography.materialproviders.model.PaddingScheme;
import software.amazon.cryptography.materialproviders.model.PublicKeyDiscoveryInput;
import software.amazon.cryptography.materialproviders.model.RawEcdhStaticConfigurations;
import software.amazon.cryptography.materialproviders.model.RawPrivateKeyToStaticPublicKeyInput;
import software.amazon.cryptography.primitives.model.ECDHCurveSpec;

/**
 * Does with the official Java SDK what the lines of its standard input ask for; see interop/README.md. It has to
 * run in a UTF-8 locale: the JVM takes the encoding of paths from there, and from nowhere else.
 */
public final class Peer {
  private final Map<String, JsonNode> keys;
  private final Map<Region, KmsClient> kmsClients = new HashMap<>();
  private DynamoDbClient dynamodb;
  private final MaterialProviders mpl =
      MaterialProviders.builder().MaterialProvidersConfig(MaterialProvidersConfig.builder().build()).build();

  private Peer(Path keys) throws IOException {
    this.keys = node(JsonNode.parser().parse(Files.readAllBytes(keys)), "keys").asObject();
  }

  /** There is no such thing in the SDK. */
  private static final class Unsupported extends RuntimeException {
    Unsupported(String why) {
      super(why);
    }
  }

  // --- JSON; the parser and the writer are those that the SDK brings along

  private static JsonNode node(JsonNode object, String name) {
    return object.field(name).orElseThrow(() -> new IllegalArgumentException("no field " + name));
  }

  private static String text(JsonNode object, String name) {
    return node(object, name).asString();
  }

  private static List<String> texts(JsonNode object, String name) {
    return node(object, name).asArray().stream().map(JsonNode::asString).toList();
  }

  private static boolean flag(JsonNode object, String name) {
    return object.field(name).map(JsonNode::asBoolean).orElse(false);
  }

  /** A missing context is an empty one. */
  private static Map<String, String> context(JsonNode object, String name) {
    Map<String, String> out = new LinkedHashMap<>();
    object.field(name).ifPresent(context -> context.asObject().forEach((k, v) -> out.put(k, v.asString())));
    return out;
  }

  /** An object of texts, and of objects of texts, on a line. */
  private static String json(Map<String, ?> object) {
    try (JsonWriter writer = JsonWriter.create()) {
      write(writer, object);
      return new String(writer.getBytes(), StandardCharsets.UTF_8);
    }
  }

  private static void write(JsonWriter writer, Map<?, ?> object) {
    writer.writeStartObject();
    object.forEach(
        (name, value) -> {
          writer.writeFieldName((String) name);
          if (value instanceof Map<?, ?> inner) write(writer, inner);
          else writer.writeValue((String) value);
        });
    writer.writeEndObject();
  }

  // --- clients of AWS

  /** The AWS SDK that the material providers bring along is too old to find the endpoints by itself. */
  private static <C> C client(AwsClientBuilder<?, C> builder, String endpoint) {
    String url = System.getenv(endpoint);
    if (url != null) builder.endpointOverride(URI.create(url));
    return builder.build();
  }

  private KmsClient kms(Region region) {
    return kmsClients.computeIfAbsent(region, r -> client(KmsClient.builder().region(r), "AWS_ENDPOINT_URL_KMS"));
  }

  /** A client of the key's own Region. */
  private KmsClient kms(String arn) {
    return kms(Region.of(arn.split(":")[3]));
  }

  private KeyStore keyStore(JsonNode d) {
    if (dynamodb == null) dynamodb = client(DynamoDbClient.builder(), "AWS_ENDPOINT_URL_DYNAMODB");
    String table = text(d, "table"), arn = text(d, "kms");
    boolean discovers = arn.equals("discovery");
    var configuration = KMSConfiguration.builder();
    return KeyStore.builder()
        .KeyStoreConfig(
            KeyStoreConfig.builder()
                .ddbTableName(table)
                .logicalKeyStoreName(table)
                .kmsConfiguration(
                    discovers
                        ? configuration.discovery(Discovery.builder().build()).build()
                        : configuration.kmsKeyArn(arn).build())
                .kmsClient(discovers ? kms(Region.of(System.getenv("AWS_REGION"))) : kms(arn))
                .ddbClient(dynamodb)
                .build())
        .build();
  }

  // --- keys

  /** The entry of the keys manifest that a field of a description names. */
  private JsonNode entry(JsonNode d, String name) {
    JsonNode entry = keys.get(text(d, name));
    if (entry == null) throw new IllegalArgumentException("no key " + text(d, name));
    return entry;
  }

  private static ByteBuffer utf8(String s) {
    return ByteBuffer.wrap(s.getBytes(StandardCharsets.UTF_8));
  }

  private static byte[] base64(JsonNode entry, String name) {
    return Base64.getDecoder().decode(text(entry, name));
  }

  /** The SDK takes private keys and RSA keys in PEM, and wants a line end after it. */
  private static ByteBuffer pem(String material) {
    return utf8(material.strip() + "\n");
  }

  private static byte[] der(String pem) {
    return Base64.getMimeDecoder().decode(pem.replaceAll("-----[A-Z ]+-----", ""));
  }

  private record RsaKey(PublicKey publicKey, PrivateKey privateKey) {}

  /** The SDK does not encrypt with a private key: it gets the public one that belongs to it as well. */
  private static RsaKey rsaKey(JsonNode entry) throws GeneralSecurityException {
    KeyFactory factory = KeyFactory.getInstance("RSA");
    byte[] der = der(text(entry, "material"));
    if (text(entry, "type").equals("public"))
      return new RsaKey(factory.generatePublic(new X509EncodedKeySpec(der)), null);
    var own = (RSAPrivateCrtKey) factory.generatePrivate(new PKCS8EncodedKeySpec(der));
    return new RsaKey(factory.generatePublic(new RSAPublicKeySpec(own.getModulus(), own.getPublicExponent())), own);
  }

  private static ECDHCurveSpec curve(JsonNode d) {
    return ECDHCurveSpec.valueOf("ECC_NIST_P" + text(d, "ecc-curve").substring("ecc-".length()));
  }

  // --- keyrings

  private ICryptographicMaterialsManager cmm(JsonNode d) throws GeneralSecurityException {
    if (!text(d, "type").equals("required-encryption-context-cmm"))
      return mpl.CreateDefaultCryptographicMaterialsManager(
          CreateDefaultCryptographicMaterialsManagerInput.builder().keyring(keyring(d)).build());
    return mpl.CreateRequiredEncryptionContextCMM(
        CreateRequiredEncryptionContextCMMInput.builder()
            .underlyingCMM(cmm(node(d, "underlying")))
            .requiredEncryptionContextKeys(texts(d, "requiredEncryptionContextKeys"))
            .build());
  }

  private IKeyring keyring(JsonNode d) throws GeneralSecurityException {
    return switch (text(d, "type")) {
      case "raw" -> text(d, "encryption-algorithm").equals("aes") ? aesKeyring(d) : rsaKeyring(d);
      case "raw-ecdh" -> ecdhKeyring(d);
      case "multi-keyring" -> multiKeyring(d);
      case "aws-kms" -> {
        String arn = text(entry(d, "key"), "key-id");
        yield mpl.CreateAwsKmsKeyring(CreateAwsKmsKeyringInput.builder().kmsKeyId(arn).kmsClient(kms(arn)).build());
      }
      case "aws-kms-mrk-aware" -> {
        String arn = text(entry(d, "key"), "key-id");
        yield mpl.CreateAwsKmsMrkKeyring(
            CreateAwsKmsMrkKeyringInput.builder().kmsKeyId(arn).kmsClient(kms(arn)).build());
      }
      case "aws-kms-discovery" -> mpl.CreateAwsKmsDiscoveryKeyring(
          CreateAwsKmsDiscoveryKeyringInput.builder()
              .kmsClient(kms(Region.of(text(d, "region"))))
              .discoveryFilter(filter(d))
              .build());
      case "aws-kms-mrk-aware-discovery" -> mpl.CreateAwsKmsMrkDiscoveryKeyring(
          CreateAwsKmsMrkDiscoveryKeyringInput.builder()
              .kmsClient(kms(Region.of(text(d, "default-mrk-region"))))
              .region(text(d, "default-mrk-region"))
              .discoveryFilter(filter(d))
              .build());
      case "aws-kms-rsa" -> kmsRsaKeyring(d);
      case "aws-kms-ecdh" -> kmsEcdhKeyring(d);
      // A keyring made anew has nothing in its cache, and so sees the version that another one made.
      case "branch-key" -> mpl.CreateAwsKmsHierarchicalKeyring(
          CreateAwsKmsHierarchicalKeyringInput.builder()
              .keyStore(keyStore(d))
              .branchKeyId(text(d, "id"))
              .ttlSeconds(600)
              .build());
      default -> throw new Unsupported("there is no keyring for " + text(d, "type"));
    };
  }

  private IKeyring aesKeyring(JsonNode d) {
    byte[] key = base64(entry(d, "key"), "material");
    return mpl.CreateRawAesKeyring(
        CreateRawAesKeyringInput.builder()
            .keyNamespace(text(d, "provider-id"))
            .keyName(text(entry(d, "key"), "key-id"))
            .wrappingKey(ByteBuffer.wrap(key))
            .wrappingAlg(AesWrappingAlg.valueOf("ALG_AES" + 8 * key.length + "_GCM_IV12_TAG16"))
            .build());
  }

  private IKeyring rsaKeyring(JsonNode d) throws GeneralSecurityException {
    String padding =
        text(d, "padding-algorithm").equals("pkcs1")
            ? "PKCS1"
            : "OAEP_" + text(d, "padding-hash").toUpperCase() + "_MGF1";
    RsaKey key = rsaKey(entry(d, "key"));
    String publicKey = Base64.getMimeEncoder().encodeToString(key.publicKey.getEncoded());
    var input =
        CreateRawRsaKeyringInput.builder()
            .keyNamespace(text(d, "provider-id"))
            .keyName(text(entry(d, "key"), "key-id"))
            .paddingScheme(PaddingScheme.valueOf(padding))
            .publicKey(pem("-----BEGIN PUBLIC KEY-----\n" + publicKey + "\n-----END PUBLIC KEY-----"));
    if (key.privateKey != null) input.privateKey(pem(text(entry(d, "key"), "material")));
    return mpl.CreateRawRsaKeyring(input.build());
  }

  private ByteBuffer recipientPublicKey(JsonNode d) {
    return ByteBuffer.wrap(base64(entry(d, "recipient"), "recipient-material-public-key"));
  }

  private IKeyring ecdhKeyring(JsonNode d) {
    var scheme = RawEcdhStaticConfigurations.builder();
    switch (text(d, "schema")) {
      case "static" -> scheme.RawPrivateKeyToStaticPublicKey(
          RawPrivateKeyToStaticPublicKeyInput.builder()
              .senderStaticPrivateKey(pem(text(entry(d, "sender"), "sender-material")))
              .recipientPublicKey(recipientPublicKey(d))
              .build());
      case "ephemeral" -> scheme.EphemeralPrivateKeyToStaticPublicKey(
          EphemeralPrivateKeyToStaticPublicKeyInput.builder().recipientPublicKey(recipientPublicKey(d)).build());
      default -> scheme.PublicKeyDiscovery(
          PublicKeyDiscoveryInput.builder()
              .recipientStaticPrivateKey(pem(text(entry(d, "recipient"), "recipient-material")))
              .build());
    }
    return mpl.CreateRawEcdhKeyring(
        CreateRawEcdhKeyringInput.builder().curveSpec(curve(d)).KeyAgreementScheme(scheme.build()).build());
  }

  private IKeyring multiKeyring(JsonNode d) throws GeneralSecurityException {
    List<IKeyring> children = new ArrayList<>();
    for (JsonNode child : node(d, "childKeyrings").asArray()) children.add(keyring(child));
    var input = CreateMultiKeyringInput.builder().childKeyrings(children);
    if (d.field("generator").isPresent()) input.generator(keyring(node(d, "generator")));
    return mpl.CreateMultiKeyring(input.build());
  }

  private static DiscoveryFilter filter(JsonNode d) {
    JsonNode filter = node(d, "aws-kms-discovery-filter");
    return DiscoveryFilter.builder()
        .partition(text(filter, "partition"))
        .accountIds(texts(filter, "account-ids"))
        .build();
  }

  private IKeyring kmsRsaKeyring(JsonNode d) {
    String arn = text(entry(d, "key"), "key-id");
    return mpl.CreateAwsKmsRsaKeyring(
        CreateAwsKmsRsaKeyringInput.builder()
            .kmsKeyId(arn)
            .kmsClient(kms(arn))
            .publicKey(pem(text(entry(d, "key"), "material")))
            .encryptionAlgorithm(EncryptionAlgorithmSpec.fromValue(text(d, "encryption-algorithm")))
            .build());
  }

  private IKeyring kmsEcdhKeyring(JsonNode d) {
    var scheme = KmsEcdhStaticConfigurations.builder();
    String arn;
    if (text(d, "schema").equals("static")) {
      arn = text(entry(d, "sender"), "sender-material");
      scheme.KmsPrivateKeyToStaticPublicKey(
          KmsPrivateKeyToStaticPublicKeyInput.builder()
              .senderKmsIdentifier(arn)
              .recipientPublicKey(recipientPublicKey(d))
              .build());
    } else {
      arn = text(entry(d, "recipient"), "recipient-material");
      scheme.KmsPublicKeyDiscovery(KmsPublicKeyDiscoveryInput.builder().recipientKmsIdentifier(arn).build());
    }
    return mpl.CreateAwsKmsEcdhKeyring(
        CreateAwsKmsEcdhKeyringInput.builder()
            .kmsClient(kms(arn))
            .curveSpec(curve(d))
            .KeyAgreementScheme(scheme.build())
            .build());
  }

  // --- master keys and their providers

  private MasterKeyProvider<?> provider(JsonNode d) throws GeneralSecurityException {
    return switch (text(d, "type")) {
      case "raw" -> masterKey(d);
      case "multi-keyring" -> {
        List<MasterKeyProvider<?>> providers = new ArrayList<>();
        // The first one makes the data key.
        if (d.field("generator").isPresent()) providers.add(provider(node(d, "generator")));
        for (JsonNode child : node(d, "childKeyrings").asArray()) providers.add(provider(child));
        yield MultipleProviderFactory.buildMultiProvider(providers);
      }
      case "aws-kms" -> KmsMasterKeyProvider.builder()
          .customRegionalClientSupplier(this::kms)
          .buildStrict(text(entry(d, "key"), "key-id"));
      case "aws-kms-mrk-aware" -> AwsKmsMrkAwareMasterKeyProvider.builder()
          .customRegionalClientSupplier(this::kms)
          .buildStrict(text(entry(d, "key"), "key-id"));
      // It would go to whatever Region the message names; without a client it leaves that data key out.
      case "aws-kms-discovery" -> KmsMasterKeyProvider.builder()
          .customRegionalClientSupplier(region -> region.id().equals(text(d, "region")) ? kms(region) : null)
          .buildDiscovery(providerFilter(d));
      case "aws-kms-mrk-aware-discovery" -> AwsKmsMrkAwareMasterKeyProvider.builder()
          .customRegionalClientSupplier(this::kms)
          .discoveryMrkRegion(Region.of(text(d, "default-mrk-region")))
          .buildDiscovery(providerFilter(d));
      case "required-encryption-context-cmm" -> throw new Unsupported(
          "the required encryption context CMM is of the material providers, which know no master keys");
      default -> throw new Unsupported("there is no master key provider for " + text(d, "type") + ", only a keyring");
    };
  }

  private static com.amazonaws.encryptionsdk.kms.DiscoveryFilter providerFilter(JsonNode d) {
    DiscoveryFilter filter = filter(d);
    return new com.amazonaws.encryptionsdk.kms.DiscoveryFilter(filter.partition(), filter.accountIds());
  }

  private JceMasterKey masterKey(JsonNode d) throws GeneralSecurityException {
    JsonNode entry = entry(d, "key");
    String namespace = text(d, "provider-id"), name = text(entry, "key-id");
    if (text(d, "encryption-algorithm").equals("aes")) {
      var key = new SecretKeySpec(base64(entry, "material"), "AES");
      return JceMasterKey.getInstance(key, namespace, name, "AES/GCM/NoPadding");
    }
    String padding =
        text(d, "padding-algorithm").equals("pkcs1")
            ? "PKCS1Padding"
            : "OAEPWithSHA-" + text(d, "padding-hash").substring("sha".length()) + "AndMGF1Padding";
    RsaKey key = rsaKey(entry);
    return JceMasterKey.getInstance(key.publicKey, key.privateKey, namespace, name, "RSA/ECB/" + padding);
  }

  // --- messages

  /** What a request asks to encrypt or decrypt with: one of them is null. */
  private record Wrapping(MasterKeyProvider<?> provider, ICryptographicMaterialsManager cmm) {}

  private Wrapping wrapping(JsonNode r) throws GeneralSecurityException {
    if (r.field("api").map(api -> api.asString().equals("master-key")).orElse(false))
      return new Wrapping(provider(node(r, "key")), null);
    return new Wrapping(null, cmm(node(r, "key")));
  }

  private static CryptoAlgorithm suite(JsonNode r) {
    int id = Integer.parseInt(text(r, "suite"), 16);
    return Arrays.stream(CryptoAlgorithm.values())
        .filter(suite -> (suite.getValue() & 0xffff) == id)
        .findFirst()
        .orElseThrow(() -> new Unsupported("there is no suite " + text(r, "suite")));
  }

  private interface Work<T> {
    T to(Path path) throws Exception;
  }

  /** The file is there when all of it is written, and not if something fails. */
  private static <T> T whole(JsonNode r, Work<T> work) throws Exception {
    Path out = Path.of(text(r, "out"));
    Path part = out.resolveSibling(out.getFileName() + ".part");
    try {
      T result = work.to(part);
      Files.move(part, out, StandardCopyOption.ATOMIC_MOVE);
      return result;
    } finally {
      Files.deleteIfExists(part);
    }
  }

  private Map<String, ?> encrypt(JsonNode r) throws Exception {
    CryptoAlgorithm suite = suite(r);
    AwsCrypto crypto =
        AwsCrypto.builder()
            .withCommitmentPolicy(
                suite.isCommitting()
                    ? CommitmentPolicy.RequireEncryptRequireDecrypt
                    : CommitmentPolicy.ForbidEncryptAllowDecrypt)
            .withEncryptionAlgorithm(suite)
            .withEncryptionFrameSize(Integer.parseInt(node(r, "frame").asNumber()))
            .build();
    Wrapping with = wrapping(r);
    Map<String, String> context = context(r, "context");
    // Nor does it read them: it fails with such a message.
    if (context.containsKey("") || context.containsValue(""))
      throw new Unsupported("an encryption context has no empty keys or values");
    Path in = Path.of(text(r, "in"));
    return whole(
        r,
        path -> {
          if (flag(r, "stream")) {
            // Not the SDK's output stream: if nothing is written to it, it writes no header (its issue 218).
            try (InputStream file = Files.newInputStream(in);
                CryptoInputStream<?> source =
                    with.cmm == null
                        ? crypto.createEncryptingStream(with.provider, file, context)
                        : crypto.createEncryptingStream(with.cmm, file, context);
                OutputStream sink = Files.newOutputStream(path)) {
              source.transferTo(sink);
            }
          } else {
            byte[] plaintext = Files.readAllBytes(in);
            CryptoResult<byte[], ?> message =
                with.cmm == null
                    ? crypto.encryptData(with.provider, plaintext, context)
                    : crypto.encryptData(with.cmm, plaintext, context);
            Files.write(path, message.getResult());
          }
          return Map.of();
        });
  }

  private Map<String, ?> decrypt(JsonNode r) throws Exception {
    AwsCrypto crypto =
        AwsCrypto.builder()
            .withCommitmentPolicy(
                suite(r).isCommitting()
                    ? CommitmentPolicy.RequireEncryptRequireDecrypt
                    : CommitmentPolicy.RequireEncryptAllowDecrypt)
            .build();
    Wrapping with = wrapping(r);
    Map<String, String> reproduced = context(r, "reproduced");
    if (with.cmm == null && !reproduced.isEmpty())
      throw new Unsupported("decryption with master keys takes no encryption context");
    Path in = Path.of(text(r, "in"));
    return whole(
        r,
        path -> {
          if (flag(r, "stream")) {
            try (InputStream file = Files.newInputStream(in);
                CryptoInputStream<?> source =
                    with.cmm == null
                        ? crypto.createDecryptingStream(with.provider, file)
                        : crypto.createDecryptingStream(with.cmm, file, reproduced);
                OutputStream sink = Files.newOutputStream(path)) {
              source.transferTo(sink);
              return Map.of("context", source.getCryptoResult().getEncryptionContext());
            }
          }
          byte[] message = Files.readAllBytes(in);
          CryptoResult<byte[], ?> plaintext =
              with.cmm == null
                  ? crypto.decryptData(with.provider, message)
                  : crypto.decryptData(with.cmm, message, reproduced);
          Files.write(path, plaintext.getResult());
          return Map.of("context", plaintext.getEncryptionContext());
        });
  }

  // --- key stores

  private Map<String, ?> store(JsonNode r) {
    KeyStore store = keyStore(r);
    String action = text(r, "action");
    switch (action) {
      case "create" -> store.CreateKeyStore(CreateKeyStoreInput.builder().build());
      case "key" -> {
        return Map.of("id", store.CreateKey(CreateKeyInput.builder().build()).branchKeyIdentifier());
      }
      case "version" -> store.VersionKey(VersionKeyInput.builder().branchKeyIdentifier(text(r, "id")).build());
      case "active" -> {
        String id = text(r, "id");
        // No message needs the beacon key: it is read to see that it can be.
        store.GetBeaconKey(GetBeaconKeyInput.builder().branchKeyIdentifier(id).build());
        var active = store.GetActiveBranchKey(GetActiveBranchKeyInput.builder().branchKeyIdentifier(id).build());
        return Map.of("version", active.branchKeyMaterials().branchKeyVersion());
      }
      default -> throw new Unsupported("there is no action " + action);
    }
    return Map.of();
  }

  // --- the protocol

  /** The version of the jar that a class comes from: the jars say it nowhere else alike. */
  private static String version(Class<?> from) {
    return from.getProtectionDomain().getCodeSource().getLocation().getPath().replaceAll(".*-|\\.jar$", "");
  }

  private static Map<String, ?> hello() {
    Map<String, String> out = new LinkedHashMap<>();
    out.put("name", "aws-encryption-sdk-java");
    out.put("version", version(AwsCrypto.class));
    String mpl = version(MaterialProviders.class);
    out.put("with", "material providers " + mpl + ", Java " + System.getProperty("java.version"));
    return out;
  }

  private Map<String, ?> answer(String line) {
    try {
      JsonNode r = JsonNode.parser().parse(line);
      return switch (text(r, "op")) {
        case "hello" -> hello();
        case "encrypt" -> encrypt(r);
        case "decrypt" -> decrypt(r);
        case "store" -> store(r);
        default -> throw new Unsupported("there is no op " + text(r, "op"));
      };
    } catch (Unsupported e) {
      return Map.of("unsupported", e.getMessage());
    } catch (Throwable e) { // whatever fails, an answer is awaited
      if (System.getenv("PEER_DEBUG") != null) e.printStackTrace();
      return Map.of("error", (e.getClass().getSimpleName() + ": " + e.getMessage()).replaceAll("\\s+", " "));
    }
  }

  public static void main(String[] args) throws IOException {
    // Nobody else may write among the answers.
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    Peer peer = new Peer(Path.of(args[0]));
    var requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = requests.readLine()) != null; ) answers.print(json(peer.answer(line)) + "\n");
    // Threads of the SDK may keep the process alive.
    answers.flush();
    System.exit(0);
  }
}

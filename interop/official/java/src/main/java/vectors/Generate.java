package vectors;

import com.amazonaws.encryptionsdk.AwsCrypto;
import com.amazonaws.encryptionsdk.CommitmentPolicy;
import com.amazonaws.encryptionsdk.CryptoAlgorithm;
import com.amazonaws.encryptionsdk.CryptoResult;
import com.amazonaws.encryptionsdk.jce.JceMasterKey;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import javax.crypto.spec.SecretKeySpec;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.cryptography.materialproviders.ICryptographicMaterialsManager;
import software.amazon.cryptography.materialproviders.IKeyring;
import software.amazon.cryptography.materialproviders.MaterialProviders;
import software.amazon.cryptography.materialproviders.model.AesWrappingAlg;
import software.amazon.cryptography.materialproviders.model.CreateDefaultCryptographicMaterialsManagerInput;
import software.amazon.cryptography.materialproviders.model.CreateMultiKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRawAesKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRawEcdhKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRawRsaKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRequiredEncryptionContextCMMInput;
import software.amazon.cryptography.materialproviders.model.EphemeralPrivateKeyToStaticPublicKeyInput;
import software.amazon.cryptography.materialproviders.model.MaterialProvidersConfig;
import software.amazon.cryptography.materialproviders.model.PaddingScheme;
import software.amazon.cryptography.materialproviders.model.PublicKeyDiscoveryInput;
import software.amazon.cryptography.materialproviders.model.RawEcdhStaticConfigurations;
import software.amazon.cryptography.materialproviders.model.RawPrivateKeyToStaticPublicKeyInput;
import software.amazon.cryptography.primitives.model.ECDHCurveSpec;

/**
 * Writes the Java SDK's messages ({@code make WORK}), and reads the published ones of every SDK
 * ({@code check WORK}).
 */
public final class Generate {
  private final Path work;
  private final Map<String, JsonNode> keys;
  private final MaterialProviders mpl =
      MaterialProviders.builder()
          .MaterialProvidersConfig(MaterialProvidersConfig.builder().build())
          .build();

  private Generate(Path work) throws IOException {
    this.work = work;
    this.keys = json(work.resolve("keys.json")).field("keys").get().asObject();
  }

  // --- reading JSON; the parser is the one that the SDK brings along

  private static JsonNode json(Path path) throws IOException {
    return JsonNode.parser().parse(Files.readString(path));
  }

  private static JsonNode node(JsonNode object, String name) {
    return object.field(name).orElseThrow(() -> new IllegalStateException("no field " + name));
  }

  private static String text(JsonNode object, String name) {
    return node(object, name).asString();
  }

  private static Map<String, String> context(JsonNode object, String name) {
    Map<String, String> out = new LinkedHashMap<>();
    node(object, name).asObject().forEach((k, v) -> out.put(k, v.asString()));
    return out;
  }

  // --- keys

  private String material(String key, String field) {
    return text(keys.get(key), field);
  }

  private static byte[] der(String pem) {
    return Base64.getMimeDecoder().decode(pem.replaceAll("-----[A-Z ]+-----", ""));
  }

  private static ByteBuffer utf8(String s) {
    return ByteBuffer.wrap(s.getBytes(StandardCharsets.UTF_8));
  }

  private ByteBuffer publicDer(String key) {
    return ByteBuffer.wrap(Base64.getDecoder().decode(material(key, "recipient-material-public-key")));
  }

  private IKeyring keyring(JsonNode d) {
    return switch (text(d, "type")) {
      case "raw" -> text(d, "encryption-algorithm").equals("aes") ? aesKeyring(d) : rsaKeyring(d);
      case "raw-ecdh" -> ecdhKeyring(d);
      case "multi-keyring" -> {
        List<IKeyring> children = new ArrayList<>();
        for (JsonNode child : node(d, "childKeyrings").asArray()) children.add(keyring(child));
        yield mpl.CreateMultiKeyring(
            CreateMultiKeyringInput.builder()
                .generator(keyring(node(d, "generator")))
                .childKeyrings(children)
                .build());
      }
      default -> throw new IllegalArgumentException("key description " + text(d, "type"));
    };
  }

  private IKeyring aesKeyring(JsonNode d) {
    byte[] key = Base64.getDecoder().decode(material(text(d, "key"), "material"));
    return mpl.CreateRawAesKeyring(
        CreateRawAesKeyringInput.builder()
            .keyNamespace(text(d, "provider-id"))
            .keyName(material(text(d, "key"), "key-id"))
            .wrappingKey(ByteBuffer.wrap(key))
            .wrappingAlg(AesWrappingAlg.valueOf("ALG_AES" + 8 * key.length + "_GCM_IV12_TAG16"))
            .build());
  }

  private IKeyring rsaKeyring(JsonNode d) {
    String padding =
        text(d, "padding-algorithm").equals("pkcs1")
            ? "PKCS1"
            : "OAEP_" + text(d, "padding-hash").toUpperCase() + "_MGF1";
    var input =
        CreateRawRsaKeyringInput.builder()
            .keyNamespace(text(d, "provider-id"))
            .keyName(material(text(d, "key"), "key-id"))
            .paddingScheme(PaddingScheme.valueOf(padding));
    ByteBuffer pem = utf8(material(text(d, "key"), "material") + "\n");
    return mpl.CreateRawRsaKeyring(
        (text(d, "key").endsWith("-private") ? input.privateKey(pem) : input.publicKey(pem)).build());
  }

  private IKeyring ecdhKeyring(JsonNode d) {
    String key = text(d, "recipient");
    var scheme = RawEcdhStaticConfigurations.builder();
    switch (text(d, "schema")) {
      case "static" -> scheme.RawPrivateKeyToStaticPublicKey(
          RawPrivateKeyToStaticPublicKeyInput.builder()
              .senderStaticPrivateKey(utf8(material(key, "sender-material") + "\n"))
              .recipientPublicKey(publicDer(key))
              .build());
      case "ephemeral" -> scheme.EphemeralPrivateKeyToStaticPublicKey(
          EphemeralPrivateKeyToStaticPublicKeyInput.builder().recipientPublicKey(publicDer(key)).build());
      default -> scheme.PublicKeyDiscovery(
          PublicKeyDiscoveryInput.builder()
              .recipientStaticPrivateKey(utf8(material(key, "recipient-material") + "\n"))
              .build());
    }
    return mpl.CreateRawEcdhKeyring(
        CreateRawEcdhKeyringInput.builder()
            .curveSpec(ECDHCurveSpec.valueOf("ECC_NIST_P" + text(d, "ecc-curve").substring(4)))
            .KeyAgreementScheme(scheme.build())
            .build());
  }

  private ICryptographicMaterialsManager requiredContext(JsonNode d) {
    List<String> required = new ArrayList<>();
    for (JsonNode key : node(d, "requiredEncryptionContextKeys").asArray()) required.add(key.asString());
    return mpl.CreateRequiredEncryptionContextCMM(
        CreateRequiredEncryptionContextCMMInput.builder()
            .underlyingCMM(
                mpl.CreateDefaultCryptographicMaterialsManager(
                    CreateDefaultCryptographicMaterialsManagerInput.builder()
                        .keyring(keyring(node(d, "underlying")))
                        .build()))
            .requiredEncryptionContextKeys(required)
            .build());
  }

  private JceMasterKey masterKey(JsonNode d) throws GeneralSecurityException {
    String key = text(d, "key"), provider = text(d, "provider-id"), id = material(key, "key-id");
    if (text(d, "encryption-algorithm").equals("aes")) {
      byte[] raw = Base64.getDecoder().decode(material(key, "material"));
      return JceMasterKey.getInstance(new SecretKeySpec(raw, "AES"), provider, id, "AES/GCM/NoPadding");
    }
    KeyFactory factory = KeyFactory.getInstance("RSA");
    PublicKey publicKey = null;
    PrivateKey privateKey = null;
    if (key.endsWith("-private"))
      privateKey = factory.generatePrivate(new PKCS8EncodedKeySpec(der(material(key, "material"))));
    else publicKey = factory.generatePublic(new X509EncodedKeySpec(der(material(key, "material"))));
    String padding =
        text(d, "padding-algorithm").equals("pkcs1")
            ? "PKCS1Padding"
            : "OAEPWithSHA-" + text(d, "padding-hash").substring(3) + "AndMGF1Padding";
    return JceMasterKey.getInstance(publicKey, privateKey, provider, id, "RSA/ECB/" + padding);
  }

  // --- messages

  private static boolean committing(String suite) {
    return suite.equals("0478") || suite.equals("0578");
  }

  private byte[] encrypt(JsonNode c, byte[] plaintext) throws GeneralSecurityException {
    String suite = text(c, "suite");
    CryptoAlgorithm algorithm =
        Arrays.stream(CryptoAlgorithm.values())
            .filter(a -> (a.getValue() & 0xffff) == Integer.parseInt(suite, 16))
            .findFirst()
            .orElseThrow();
    AwsCrypto crypto =
        AwsCrypto.builder()
            .withCommitmentPolicy(
                committing(suite)
                    ? CommitmentPolicy.RequireEncryptRequireDecrypt
                    : CommitmentPolicy.ForbidEncryptAllowDecrypt)
            .withEncryptionAlgorithm(algorithm)
            .withEncryptionFrameSize(Integer.parseInt(node(c, "frame-size").asNumber()))
            .build();
    JsonNode d = node(c, "encrypt");
    Map<String, String> context = context(c, "context");
    if (text(c, "api").equals("master-key"))
      return crypto.encryptData(masterKey(d), plaintext, context).getResult();
    if (text(d, "type").equals("required-encryption-context-cmm"))
      return crypto.encryptData(requiredContext(d), plaintext, context).getResult();
    return crypto.encryptData(keyring(d), plaintext, context).getResult();
  }

  private CryptoResult<byte[], ?> decrypt(
      byte[] message, JsonNode d, boolean masterKey, String suite, Map<String, String> reproduced)
      throws GeneralSecurityException {
    AwsCrypto crypto =
        AwsCrypto.builder()
            .withCommitmentPolicy(
                committing(suite)
                    ? CommitmentPolicy.RequireEncryptRequireDecrypt
                    : CommitmentPolicy.RequireEncryptAllowDecrypt)
            .build();
    if (masterKey) return crypto.decryptData(masterKey(d), message);
    if (text(d, "type").equals("required-encryption-context-cmm"))
      return crypto.decryptData(requiredContext(d), message, reproduced);
    return crypto.decryptData(keyring(d), message, reproduced);
  }

  private void make() throws Exception {
    int n = 0;
    for (JsonNode c : json(work.resolve("plan/java.json")).asArray()) {
      String id = text(c, "id");
      byte[] plaintext = Files.readAllBytes(work.resolve("plaintexts").resolve(text(c, "plaintext")));
      byte[] message = encrypt(c, plaintext);
      List<JsonNode> ways = new ArrayList<>(List.of(node(c, "decrypt")));
      for (JsonNode also : node(c, "also").asArray()) ways.add(also.asArray().get(1));
      for (JsonNode d : ways) {
        byte[] got =
            decrypt(message, d, text(c, "api").equals("master-key"), text(c, "suite"), context(c, "reproduced"))
                .getResult();
        if (!Arrays.equals(got, plaintext)) throw new IllegalStateException(id + ": decrypts to something else");
      }
      Files.write(work.resolve("ciphertexts").resolve(id), message);
      n++;
    }
    System.out.println("java: " + n + " messages written and decrypted");
  }

  private void check() throws Exception {
    for (String sdk : List.of("python", "java", "javascript")) {
      int read = 0, refused = 0;
      Map<String, JsonNode> tests = node(json(work.resolve(sdk + ".json")), "tests").asObject();
      for (Map.Entry<String, JsonNode> test : tests.entrySet()) {
        JsonNode s = node(test.getValue(), "decryption-scenario");
        byte[] message = file(s, "ciphertext");
        JsonNode d = node(s, "decryptKeyDescription");
        Map<String, String> reproduced = context(s, "reproduced-encryption-context");
        if (text(s, "type").equals("negative-esdk")) {
          try {
            decrypt(message, d, false, text(s, "algorithmSuiteId"), reproduced);
          } catch (Exception e) {
            refused++;
            continue;
          }
          throw new IllegalStateException(test.getKey() + ": not refused");
        }
        CryptoResult<byte[], ?> got = decrypt(message, d, false, text(s, "algorithmSuiteId"), reproduced);
        if (!Arrays.equals(got.getResult(), file(s, "result")))
          throw new IllegalStateException(test.getKey() + ": decrypts to something else");
        Map<String, String> found = new TreeMap<>(got.getEncryptionContext());
        found.putAll(reproduced);
        found.remove("aws-crypto-public-key");
        if (!found.equals(context(s, "encryptionContext")))
          throw new IllegalStateException(test.getKey() + ": another encryption context");
        read++;
      }
      System.out.println("java: " + sdk + ".json: " + read + " read, " + refused + " refused");
    }
  }

  private byte[] file(JsonNode s, String name) throws IOException {
    return Files.readAllBytes(work.resolve(text(s, name).substring("file://".length())));
  }

  public static void main(String[] args) throws Exception {
    Generate generate = new Generate(Path.of(args[1]));
    if (args[0].equals("make")) generate.make();
    else generate.check();
    // The SDK's background threads would keep the process alive.
    System.exit(0);
  }
}

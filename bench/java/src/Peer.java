import com.amazonaws.encryptionsdk.AwsCrypto;
import com.amazonaws.encryptionsdk.CommitmentPolicy;
import com.amazonaws.encryptionsdk.CryptoAlgorithm;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.cryptography.materialproviders.IKeyring;
import software.amazon.cryptography.materialproviders.MaterialProviders;
import software.amazon.cryptography.materialproviders.model.AesWrappingAlg;
import software.amazon.cryptography.materialproviders.model.CreateRawAesKeyringInput;
import software.amazon.cryptography.materialproviders.model.MaterialProvidersConfig;

/** The official Java SDK behind the protocol of ../../README.md. */
public final class Peer {
  private static final long BATCH = 10_000_000; // nanoseconds
  private static final byte[] PERIOD = new byte[1 << 16];
  private static final Map<String, String> CONTEXT = Map.of("purpose", "bench");

  static {
    for (int i = 0; i < PERIOD.length; i++) PERIOD[i] = (byte) (i ^ (i >> 8));
  }

  /** One line of the protocol. The parser is the one that the SDK brings along. */
  private record Request(JsonNode json) {
    String text(String name) {
      return json.field(name).map(JsonNode::asString).orElse("");
    }

    int number(String name) {
      return json.field(name).map(n -> Integer.parseInt(n.asNumber())).orElse(0);
    }

    boolean stream() {
      return json.field("stream").map(JsonNode::asBoolean).orElse(false);
    }
  }

  private interface Operation {
    void once() throws Exception;
  }

  private final IKeyring keyring;
  private String sampleOf = "";
  private byte[] plaintext;
  private byte[] message;

  private Peer() {
    byte[] key = new byte[32];
    for (int i = 0; i < key.length; i++) key[i] = (byte) i;
    keyring =
        MaterialProviders.builder()
            .MaterialProvidersConfig(MaterialProvidersConfig.builder().build())
            .build()
            .CreateRawAesKeyring(
                CreateRawAesKeyringInput.builder()
                    .keyNamespace("bench")
                    .keyName("aes256")
                    .wrappingKey(ByteBuffer.wrap(key))
                    .wrappingAlg(AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16)
                    .build());
  }

  private static AwsCrypto client(String suite) {
    return AwsCrypto.builder()
        .withCommitmentPolicy(CommitmentPolicy.RequireEncryptRequireDecrypt)
        .withEncryptionAlgorithm(
            suite.equals("0478")
                ? CryptoAlgorithm.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY
                : CryptoAlgorithm.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384)
        .withEncryptionFrameSize(4096)
        .build();
  }

  private static byte[] pattern(int size) {
    byte[] out = new byte[size];
    for (int at = 0; at < size; at += PERIOD.length) {
      System.arraycopy(PERIOD, 0, out, at, Math.min(PERIOD.length, size - at));
    }
    return out;
  }

  /** The pattern as a stream, in no memory of its own. */
  private static final class Source extends InputStream {
    private final int size;
    private int at;

    Source(int size) {
      this.size = size;
    }

    @Override
    public int read() {
      return at == size ? -1 : PERIOD[at++ % PERIOD.length] & 0xff;
    }

    @Override
    public int read(byte[] b, int off, int len) {
      if (at == size) return -1;
      int start = at % PERIOD.length;
      int n = Math.min(Math.min(len, size - at), PERIOD.length - start);
      System.arraycopy(PERIOD, start, b, off, n);
      at += n;
      return n;
    }
  }

  private static long drain(InputStream in, OutputStream out) throws IOException {
    byte[] buffer = new byte[64 << 10];
    long total = 0;
    try (in) {
      for (int n; (n = in.read(buffer)) >= 0; total += n) out.write(buffer, 0, n);
    }
    return total;
  }

  private void prepare(Request r) throws Exception {
    String of = r.text("suite") + " " + r.number("size");
    if (sampleOf.equals(of)) return;
    sampleOf = "";
    AwsCrypto c = client(r.text("suite"));
    plaintext = pattern(r.number("size"));
    message = c.encryptData(keyring, plaintext, CONTEXT).getResult();
    if (!Arrays.equals(c.decryptData(keyring, message).getResult(), plaintext)) {
      throw new IllegalStateException("the plaintext that came back is another one");
    }
    sampleOf = of;
  }

  private Operation operation(Request r) {
    AwsCrypto c = client(r.text("suite"));
    boolean encrypt = r.text("op").equals("encrypt");
    byte[] in = encrypt ? plaintext : message;
    OutputStream sink = OutputStream.nullOutputStream();
    if (r.stream()) {
      return encrypt
          ? () -> drain(c.createEncryptingStream(keyring, new ByteArrayInputStream(in), CONTEXT), sink)
          : () -> drain(c.createDecryptingStream(keyring, new ByteArrayInputStream(in)), sink);
    }
    return encrypt ? () -> c.encryptData(keyring, in, CONTEXT) : () -> c.decryptData(keyring, in);
  }

  private static String timeOne(Operation op, long nanos) throws Exception {
    List<Double> batches = new ArrayList<>();
    long iterations = 0;
    for (long start = System.nanoTime(); batches.isEmpty() || System.nanoTime() - start < nanos; ) {
      int n = 0;
      long batch = System.nanoTime();
      while (n == 0 || System.nanoTime() - batch < BATCH) {
        op.once();
        n++;
      }
      batches.add((System.nanoTime() - batch) / 1e9 / n);
      iterations += n;
    }
    Collections.sort(batches);
    return figures(iterations, batches.get(0), batches.get(batches.size() / 2));
  }

  private static String timeThreads(Operation op, int threads, long nanos) throws Exception {
    var pool = Executors.newFixedThreadPool(threads);
    long start = System.nanoTime();
    Callable<Long> work =
        () -> {
          long n = 0;
          while (n == 0 || System.nanoTime() - start < nanos) {
            op.once();
            n++;
          }
          return n;
        };
    long iterations = 0;
    for (Future<Long> f : pool.invokeAll(Collections.nCopies(threads, work))) iterations += f.get();
    double each = (System.nanoTime() - start) / 1e9 / iterations;
    pool.shutdown();
    return figures(iterations, each, each);
  }

  private static String figures(long iterations, double best, double median) {
    return "{\"iterations\":" + iterations + ",\"best\":" + best + ",\"median\":" + median + "}";
  }

  private void save(Request r) throws Exception {
    AwsCrypto c = client(r.text("suite"));
    Path path = Path.of(r.text("path"));
    if (!r.stream()) {
      Files.write(path, c.encryptData(keyring, pattern(r.number("size")), CONTEXT).getResult());
      return;
    }
    try (OutputStream out = Files.newOutputStream(path)) {
      drain(c.createEncryptingStream(keyring, new Source(r.number("size")), CONTEXT), out);
    }
  }

  private void load(Request r) throws Exception {
    AwsCrypto c = client(r.text("suite"));
    Path path = Path.of(r.text("path"));
    long n =
        r.stream()
            ? drain(c.createDecryptingStream(keyring, Files.newInputStream(path)), OutputStream.nullOutputStream())
            : c.decryptData(keyring, Files.readAllBytes(path)).getResult().length;
    if (n != r.number("size")) throw new IllegalStateException("plaintext of another size");
  }

  private static long peakRSS() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) << 10;
    }
    throw new IOException("no VmHWM");
  }

  private String answer(Request r) throws Exception {
    switch (r.text("op")) {
      case "version":
        // As in pom.xml: the SDK does not say.
        return "{\"version\":\"3.0.2 with MPL 1.11.0, Java " + System.getProperty("java.version") + "\"}";
      case "rss":
        return "{\"rss\":" + peakRSS() + "}";
      case "save":
        save(r);
        return "{}";
      case "load":
        load(r);
        return "{}";
      case "encrypt", "decrypt":
        prepare(r);
        long nanos = r.number("millis") * 1_000_000L;
        int threads = r.number("threads");
        return threads > 0 ? timeThreads(operation(r), threads, nanos) : timeOne(operation(r), nanos);
      default:
        return "{\"unsupported\":\"operation\"}";
    }
  }

  public static void main(String[] args) throws IOException {
    Peer peer = new Peer();
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = in.readLine()) != null; ) {
      String answer;
      try {
        answer = peer.answer(new Request(JsonNode.parser().parse(line)));
      } catch (Exception e) {
        answer = "{\"error\":\"" + e.toString().replaceAll("[\"\\\\\\p{Cntrl}]", " ") + "\"}";
      }
      System.out.println(answer);
      System.out.flush();
    }
  }
}

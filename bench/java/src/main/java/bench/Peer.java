package bench;

import com.amazonaws.encryptionsdk.AwsCrypto;
import com.amazonaws.encryptionsdk.CommitmentPolicy;
import com.amazonaws.encryptionsdk.CryptoAlgorithm;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import software.amazon.cryptography.materialproviders.IKeyring;
import software.amazon.cryptography.materialproviders.MaterialProviders;
import software.amazon.cryptography.materialproviders.model.AesWrappingAlg;
import software.amazon.cryptography.materialproviders.model.CreateRawAesKeyringInput;
import software.amazon.cryptography.materialproviders.model.MaterialProvidersConfig;

/** The official Java SDK, with keyrings of the MPL, behind the protocol of README.md. */
public final class Peer {
  static final int CHUNK = 64 << 10;
  static final long BATCH_NANOS = 10_000_000;
  static final Map<String, String> CONTEXT = Map.of("purpose", "bench");

  /** One line of the protocol. */
  record Request(String op, String suite, int size, boolean stream, int threads, long millis, String path) {
    static Request parse(String line) {
      return new Request(
          member(line, "op", ""),
          member(line, "suite", ""),
          Integer.parseInt(member(line, "size", "0")),
          Boolean.parseBoolean(member(line, "stream", "false")),
          Integer.parseInt(member(line, "threads", "1")),
          Long.parseLong(member(line, "millis", "0")),
          member(line, "path", ""));
    }

    /** A member of the flat objects that the runner writes. */
    private static String member(String line, String name, String otherwise) {
      Matcher m = Pattern.compile("\"" + name + "\":\"?([^\",}]*)").matcher(line);
      return m.find() ? m.group(1) : otherwise;
    }
  }

  /** What is measured. */
  interface Operation {
    void run() throws Exception;
  }

  /** A message that was made once, and serves all requests of its suite and size. */
  record Sample(String suite, int size, byte[] plaintext, byte[] message) {}

  final IKeyring keyring;
  Sample sample;

  Peer() {
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

  static AwsCrypto client(Request r) {
    CryptoAlgorithm suite =
        r.suite.equals("0478")
            ? CryptoAlgorithm.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY
            : CryptoAlgorithm.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384;
    return AwsCrypto.builder()
        .withCommitmentPolicy(CommitmentPolicy.RequireEncryptRequireDecrypt)
        .withEncryptionAlgorithm(suite)
        .withEncryptionFrameSize(4096)
        .build();
  }

  byte[] encrypt(AwsCrypto c, byte[] plaintext) {
    return c.encryptData(keyring, plaintext, CONTEXT).getResult();
  }

  byte[] decrypt(AwsCrypto c, byte[] message) {
    return c.decryptData(keyring, message).getResult();
  }

  InputStream encryptStream(AwsCrypto c, InputStream plaintext) {
    return c.createEncryptingStream(keyring, plaintext, CONTEXT);
  }

  InputStream decryptStream(AwsCrypto c, InputStream message) {
    return c.createDecryptingStream(keyring, message);
  }

  static byte at(long i) {
    return (byte) (i ^ (i >> 8));
  }

  static byte[] pattern(int size) {
    byte[] p = new byte[size];
    for (int i = 0; i < size; i++) p[i] = at(i);
    return p;
  }

  /** The pattern as a stream, in no memory of its own. */
  static final class PatternStream extends InputStream {
    final long size;
    long at;

    PatternStream(long size) {
      this.size = size;
    }

    @Override
    public int read() {
      return at == size ? -1 : Peer.at(at++) & 0xff;
    }

    @Override
    public int read(byte[] buf, int from, int length) {
      if (at == size) return -1;
      int n = (int) Math.min(length, size - at);
      for (int i = 0; i < n; i++) buf[from + i] = Peer.at(at++);
      return n;
    }
  }

  static long copy(InputStream in, OutputStream out) throws Exception {
    byte[] buf = new byte[CHUNK];
    long size = 0;
    try (in) {
      for (int n; (n = in.read(buf)) >= 0; size += n) out.write(buf, 0, n);
    }
    return size;
  }

  /** Makes the sample, and checks that it comes back. */
  void prepare(Request r) {
    if (sample != null && sample.suite.equals(r.suite) && sample.size == r.size) return;
    sample = null;
    byte[] plaintext = pattern(r.size);
    byte[] message = encrypt(client(r), plaintext);
    if (!Arrays.equals(decrypt(client(r), message), plaintext))
      throw new IllegalStateException("another plaintext came back");
    sample = new Sample(r.suite, r.size, plaintext, message);
  }

  Operation operation(Request r) {
    AwsCrypto c = client(r);
    byte[] plaintext = sample.plaintext, message = sample.message;
    OutputStream sink = OutputStream.nullOutputStream();
    if (r.op.equals("encrypt"))
      return r.stream
          ? () -> copy(encryptStream(c, new ByteArrayInputStream(plaintext)), sink)
          : () -> encrypt(c, plaintext);
    return r.stream
        ? () -> copy(decryptStream(c, new ByteArrayInputStream(message)), sink)
        : () -> decrypt(c, message);
  }

  static String timeOne(Operation work, long limit) throws Exception {
    List<Double> batches = new ArrayList<>();
    long iterations = 0;
    for (long start = System.nanoTime(); batches.isEmpty() || System.nanoTime() - start < limit; ) {
      long batch = System.nanoTime(), elapsed = 0;
      int n = 0;
      for (; n == 0 || elapsed < BATCH_NANOS; n++) {
        work.run();
        elapsed = System.nanoTime() - batch;
      }
      batches.add(elapsed / 1e9 / n);
      iterations += n;
    }
    Collections.sort(batches);
    return figures(iterations, batches.get(0), batches.get(batches.size() / 2));
  }

  /** Has several threads work until the time is up, and answers with the time for each result. */
  static String timeThreads(Operation work, int threads, long limit) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(threads);
    long start = System.nanoTime();
    Callable<Long> loop =
        () -> {
          long n = 0;
          do {
            work.run();
            n++;
          } while (System.nanoTime() - start < limit);
          return n;
        };
    long iterations = 0;
    for (Future<Long> f : pool.invokeAll(Collections.nCopies(threads, loop))) iterations += f.get();
    double each = (System.nanoTime() - start) / 1e9 / iterations;
    pool.shutdown();
    return figures(iterations, each, each);
  }

  static String figures(long iterations, double best, double median) {
    return String.format("{\"iterations\":%d,\"best\":%.9f,\"median\":%.9f}", iterations, best, median);
  }

  void save(Request r) throws Exception {
    if (!r.stream) {
      Files.write(Path.of(r.path), encrypt(client(r), pattern(r.size)));
      return;
    }
    try (OutputStream out = Files.newOutputStream(Path.of(r.path))) {
      copy(encryptStream(client(r), new PatternStream(r.size)), out);
    }
  }

  void load(Request r) throws Exception {
    long size =
        r.stream
            ? copy(decryptStream(client(r), Files.newInputStream(Path.of(r.path))), OutputStream.nullOutputStream())
            : decrypt(client(r), Files.readAllBytes(Path.of(r.path))).length;
    if (size != r.size) throw new IllegalStateException("a plaintext of " + size + " bytes came back");
  }

  static long peakRss() throws Exception {
    for (String line : Files.readAllLines(Path.of("/proc/self/status")))
      if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) << 10;
    throw new IllegalStateException("no VmHWM");
  }

  String answer(Request r) throws Exception {
    switch (r.op) {
      case "version":
        return "{\"version\":\"%s, Java %s\"}".formatted(System.getProperty("bench.versions"), Runtime.version());
      case "rss":
        return "{\"rss\":%d}".formatted(peakRss());
      case "save":
        save(r);
        return "{}";
      case "load":
        load(r);
        return "{}";
      case "encrypt":
      case "decrypt":
        prepare(r);
        long limit = r.millis * 1_000_000;
        return r.threads > 1 ? timeThreads(operation(r), r.threads, limit) : timeOne(operation(r), limit);
      default:
        return "{\"unsupported\":\"operation\"}";
    }
  }

  public static void main(String[] args) throws Exception {
    // The runner reads nothing but answers.
    PrintStream answers = System.out;
    System.setOut(System.err);
    Peer peer = new Peer();
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = requests.readLine()) != null; ) {
      try {
        answers.println(peer.answer(Request.parse(line)));
      } catch (Exception | OutOfMemoryError e) {
        answers.println("{\"error\":\"" + e.toString().replaceAll("[\"\\\\\\n]", " ") + "\"}");
      }
      answers.flush();
    }
  }
}

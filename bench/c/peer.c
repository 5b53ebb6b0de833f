/* The official C SDK behind the protocol of ../README.md. */
#include <aws/common/hash_table.h>
#include <aws/common/string.h>
#include <aws/cryptosdk/default_cmm.h>
#include <aws/cryptosdk/error.h>
#include <aws/cryptosdk/raw_aes_keyring.h>
#include <aws/cryptosdk/session.h>
#include <aws/cryptosdk/version.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PERIOD = 1 << 16, CHUNK = 256 << 10, MAX_THREADS = 64, MAX_BATCHES = 100000 };

static const double BATCH = 0.01; /* seconds */

AWS_STATIC_STRING_FROM_LITERAL(namespace_text, "bench");
AWS_STATIC_STRING_FROM_LITERAL(name_text, "aes256");
AWS_STATIC_STRING_FROM_LITERAL(context_key, "purpose");
AWS_STATIC_STRING_FROM_LITERAL(context_value, "bench");

struct request {
    char op[16], suite[8], path[4096];
    size_t size;
    int threads, millis;
    bool stream;
};

static struct aws_allocator *allocator;
static struct aws_cryptosdk_keyring *keyring;
static uint8_t *plaintext, *message;
static size_t message_size;
static char sample_of[32];

/* The requests are flat JSON of the runner's own making, without escapes. */
static const char *field(const char *line, const char *name) {
    char quoted[32];
    snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    const char *at = strstr(line, quoted);
    return at ? at + strlen(quoted) : NULL;
}

static void text_field(const char *line, const char *name, char *out, size_t size) {
    const char *at = field(line, name);
    out[0] = 0;
    if (!at || *at != '"') return;
    size_t n = strcspn(++at, "\"");
    if (n < size) {
        memcpy(out, at, n);
        out[n] = 0;
    }
}

static long number_field(const char *line, const char *name) {
    const char *at = field(line, name);
    return at ? strtol(at, NULL, 10) : 0;
}

static void parse(const char *line, struct request *r) {
    text_field(line, "op", r->op, sizeof(r->op));
    text_field(line, "suite", r->suite, sizeof(r->suite));
    text_field(line, "path", r->path, sizeof(r->path));
    r->size    = number_field(line, "size");
    r->threads = number_field(line, "threads");
    r->millis  = number_field(line, "millis");
    const char *stream = field(line, "stream");
    r->stream          = stream && strncmp(stream, "true", 4) == 0;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void pattern(uint8_t *out, size_t start, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t at = (start + i) % PERIOD;
        out[i]    = (uint8_t)(at ^ (at >> 8));
    }
}

/* A size of 0 is set later, by aws_cryptosdk_session_process_full. */
static struct aws_cryptosdk_session *new_session(const char *suite, enum aws_cryptosdk_mode mode, size_t size) {
    struct aws_cryptosdk_cmm *cmm = aws_cryptosdk_default_cmm_new(allocator, keyring);
    if (!cmm) return NULL;
    enum aws_cryptosdk_alg_id id = strcmp(suite, "0478") == 0 ? ALG_AES256_GCM_HKDF_SHA512_COMMIT_KEY
                                                              : ALG_AES256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384;
    struct aws_cryptosdk_session *s = NULL;
    if (!aws_cryptosdk_default_cmm_set_alg_id(cmm, id)) s = aws_cryptosdk_session_new_from_cmm_2(allocator, mode, cmm);
    aws_cryptosdk_cmm_release(cmm);
    if (!s || mode == AWS_CRYPTOSDK_DECRYPT) return s;
    struct aws_hash_table *context = aws_cryptosdk_session_get_enc_ctx_ptr_mut(s);
    if (!context || aws_hash_table_put(context, context_key, (void *)context_value, NULL) ||
        aws_cryptosdk_session_set_frame_size(s, 4096) || (size && aws_cryptosdk_session_set_message_size(s, size))) {
        aws_cryptosdk_session_destroy(s);
        return NULL;
    }
    return s;
}

/* Processes all of in into new memory, as SDKs in other languages do. */
static int once(const char *suite, enum aws_cryptosdk_mode mode, const uint8_t *in, size_t n, uint8_t **out, size_t *out_n) {
    struct aws_cryptosdk_session *s = new_session(suite, mode, 0);
    if (!s) return -1;
    size_t room = n + n / 64 + 4096;
    *out        = malloc(room);
    int err     = !*out || aws_cryptosdk_session_process_full(s, *out, room, out_n, in, n);
    aws_cryptosdk_session_destroy(s);
    if (err) {
        free(*out);
        *out = NULL;
    }
    return err ? -1 : 0;
}

typedef size_t (*source_fn)(void *state, uint8_t *buf, size_t n);
typedef int (*sink_fn)(void *state, const uint8_t *buf, size_t n);

/* Passes a source through a session in pieces. */
static int stream(struct aws_cryptosdk_session *s, source_fn source, void *from, sink_fn sink, void *to) {
    size_t in_room = CHUNK, out_room = CHUNK + CHUNK / 8, have = 0;
    uint8_t *in = malloc(in_room), *out = malloc(out_room);
    int err = !s || !in || !out;
    for (bool end = false; !err && !aws_cryptosdk_session_is_done(s);) {
        if (!end && have < in_room) {
            size_t n = source(from, in + have, in_room - have);
            have += n;
            end = n == 0;
        }
        size_t written = 0, read = 0;
        err = aws_cryptosdk_session_process(s, out, out_room, &written, in, have, &read) || sink(to, out, written);
        memmove(in, in + read, have - read);
        have -= read;
        if (!err && end && written == 0 && read == 0 && !aws_cryptosdk_session_is_done(s)) err = -1;
    }
    free(in);
    free(out);
    if (s) aws_cryptosdk_session_destroy(s);
    return err ? -1 : 0;
}

struct span {
    const uint8_t *at;
    size_t left;
};

static size_t from_memory(void *state, uint8_t *buf, size_t n) {
    struct span *s = state;
    if (n > s->left) n = s->left;
    memcpy(buf, s->at, n);
    s->at += n;
    s->left -= n;
    return n;
}

static int discard(void *state, const uint8_t *buf, size_t n) {
    (void)buf;
    *(size_t *)state += n;
    return 0;
}

struct generated {
    size_t at, size;
};

static size_t from_pattern(void *state, uint8_t *buf, size_t n) {
    struct generated *g = state;
    if (n > g->size - g->at) n = g->size - g->at;
    pattern(buf, g->at, n);
    g->at += n;
    return n;
}

static int to_file(void *state, const uint8_t *buf, size_t n) { return fwrite(buf, 1, n, state) != n; }

static size_t from_file(void *state, uint8_t *buf, size_t n) { return fread(buf, 1, n, state); }

static int run_once(const struct request *r) {
    bool encrypt                 = strcmp(r->op, "encrypt") == 0;
    enum aws_cryptosdk_mode mode = encrypt ? AWS_CRYPTOSDK_ENCRYPT : AWS_CRYPTOSDK_DECRYPT;
    struct span in               = { encrypt ? plaintext : message, encrypt ? r->size : message_size };
    if (r->stream) {
        size_t n = 0;
        return stream(new_session(r->suite, mode, r->size), from_memory, &in, discard, &n);
    }
    uint8_t *out = NULL;
    size_t n     = 0;
    int err      = once(r->suite, mode, in.at, in.left, &out, &n);
    free(out);
    return err;
}

static int prepare(const struct request *r) {
    char of[sizeof(sample_of)];
    snprintf(of, sizeof(of), "%s %zu", r->suite, r->size);
    if (strcmp(of, sample_of) == 0) return 0;
    sample_of[0] = 0;
    free(plaintext);
    free(message);
    message   = NULL;
    plaintext = malloc(r->size);
    if (!plaintext) return -1;
    pattern(plaintext, 0, r->size);
    if (once(r->suite, AWS_CRYPTOSDK_ENCRYPT, plaintext, r->size, &message, &message_size)) return -1;
    uint8_t *back = NULL;
    size_t n      = 0;
    int err       = once(r->suite, AWS_CRYPTOSDK_DECRYPT, message, message_size, &back, &n);
    if (!err && (n != r->size || memcmp(back, plaintext, n) != 0)) err = -1;
    free(back);
    if (!err) strcpy(sample_of, of);
    return err;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int time_one(const struct request *r) {
    static double batches[MAX_BATCHES];
    size_t count = 0;
    long total   = 0;
    double start = now();
    while (count == 0 || (now() - start < r->millis / 1e3 && count < MAX_BATCHES)) {
        long n       = 0;
        double batch = now();
        while (n == 0 || now() - batch < BATCH) {
            if (run_once(r)) return -1;
            n++;
        }
        batches[count++] = (now() - batch) / n;
        total += n;
    }
    qsort(batches, count, sizeof(double), by_value);
    printf("{\"iterations\":%ld,\"best\":%.9g,\"median\":%.9g}\n", total, batches[0], batches[count / 2]);
    return 0;
}

struct worker {
    const struct request *request;
    double start;
    long count;
    int err;
};

static void *work(void *arg) {
    struct worker *w = arg;
    while (!w->err && (w->count == 0 || now() - w->start < w->request->millis / 1e3)) {
        w->err = run_once(w->request);
        w->count++;
    }
    return NULL;
}

static int time_threads(const struct request *r) {
    pthread_t threads[MAX_THREADS];
    struct worker workers[MAX_THREADS];
    if (r->threads > MAX_THREADS) return -1;
    double start = now();
    for (int i = 0; i < r->threads; i++) {
        workers[i] = (struct worker){ r, start, 0, 0 };
        if (pthread_create(&threads[i], NULL, work, &workers[i])) return -1;
    }
    long total = 0;
    int err    = 0;
    for (int i = 0; i < r->threads; i++) {
        pthread_join(threads[i], NULL);
        total += workers[i].count;
        err |= workers[i].err;
    }
    double each = (now() - start) / total;
    if (!err) printf("{\"iterations\":%ld,\"best\":%.9g,\"median\":%.9g}\n", total, each, each);
    return err;
}

static int save(const struct request *r) {
    FILE *f = fopen(r->path, "wb");
    if (!f) return -1;
    int err;
    if (r->stream) {
        struct generated g = { 0, r->size };
        err                = stream(new_session(r->suite, AWS_CRYPTOSDK_ENCRYPT, r->size), from_pattern, &g, to_file, f);
    } else {
        uint8_t *in = malloc(r->size), *out = NULL;
        size_t n = 0;
        if (in) pattern(in, 0, r->size);
        err = !in || once(r->suite, AWS_CRYPTOSDK_ENCRYPT, in, r->size, &out, &n) || to_file(f, out, n);
        free(in);
        free(out);
    }
    if (fclose(f)) err = -1;
    if (!err) puts("{}");
    return err;
}

static int load(const struct request *r) {
    FILE *f = fopen(r->path, "rb");
    if (!f) return -1;
    size_t n = 0;
    int err;
    if (r->stream) {
        err = stream(new_session(r->suite, AWS_CRYPTOSDK_DECRYPT, 0), from_file, f, discard, &n);
    } else {
        fseek(f, 0, SEEK_END);
        size_t size = ftell(f);
        rewind(f);
        uint8_t *in = malloc(size), *out = NULL;
        err = !in || fread(in, 1, size, f) != size || once(r->suite, AWS_CRYPTOSDK_DECRYPT, in, size, &out, &n);
        free(in);
        free(out);
    }
    fclose(f);
    if (!err && n != r->size) err = -1;
    if (!err) puts("{}");
    return err;
}

static int peak_rss(void) {
    char line[256];
    long kib = 0;
    FILE *f  = fopen("/proc/self/status", "r");
    if (!f) return -1;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) break;
    }
    fclose(f);
    printf("{\"rss\":%ld}\n", kib << 10);
    return 0;
}

static int answer(const struct request *r) {
    if (strcmp(r->op, "rss") == 0) return peak_rss();
    if (strcmp(r->op, "save") == 0) return save(r);
    if (strcmp(r->op, "load") == 0) return load(r);
    if (strcmp(r->op, "version") == 0) {
        printf("{\"version\":\"%s, %s\"}\n", AWS_CRYPTOSDK_VERSION_STR, OpenSSL_version(OPENSSL_VERSION));
        return 0;
    }
    if (strcmp(r->op, "encrypt") != 0 && strcmp(r->op, "decrypt") != 0) {
        puts("{\"unsupported\":\"operation\"}");
        return 0;
    }
    if (prepare(r)) return -1;
    return r->threads > 0 ? time_threads(r) : time_one(r);
}

int main(void) {
    static char line[8192];
    uint8_t key[32];
    for (size_t i = 0; i < sizeof(key); i++) key[i] = (uint8_t)i;
    aws_cryptosdk_load_error_strings();
    allocator = aws_default_allocator();
    keyring   = aws_cryptosdk_raw_aes_keyring_new(allocator, namespace_text, name_text, key, AWS_CRYPTOSDK_AES256);
    if (!keyring) return 1;
    while (fgets(line, sizeof(line), stdin)) {
        struct request r;
        parse(line, &r);
        if (answer(&r)) printf("{\"error\":\"%s\"}\n", aws_error_str(aws_last_error()));
        fflush(stdout);
    }
    return 0;
}

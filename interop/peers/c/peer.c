/* The official C SDK behind the protocol of ../../README.md, without the part in C++ that calls AWS KMS. */
#include <aws/common/encoding.h>
#include <aws/common/hash_table.h>
#include <aws/common/json.h>
#include <aws/common/string.h>
#include <aws/cryptosdk/default_cmm.h>
#include <aws/cryptosdk/enc_ctx.h>
#include <aws/cryptosdk/error.h>
#include <aws/cryptosdk/multi_keyring.h>
#include <aws/cryptosdk/raw_aes_keyring.h>
#include <aws/cryptosdk/raw_rsa_keyring.h>
#include <aws/cryptosdk/session.h>
#include <aws/cryptosdk/version.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A stream passes in pieces that are no multiple of a frame. HEADER_ROOM exceeds all headers. */
enum { PIECE = 10007, FRAME_OVERHEAD = 4 + 12 + 16, HEADER_ROOM = 1 << 18 };

static struct aws_allocator *allocator;
static struct aws_json_value *keys;

/* The reason why a request failed, or why the SDK can't do it. Without a failure, it's the SDK's last error. */
static const char *failure, *unsupported;

static int fail(const char *what) {
    failure = what;
    return -1;
}

static void *lacks(const char *feature) {
    unsupported = feature;
    return NULL;
}

/* Returns a copy of a field, or an empty string. The caller frees it. */
static char *text(const struct aws_json_value *object, const char *name) {
    struct aws_byte_cursor c           = { 0 };
    const struct aws_json_value *value = aws_json_value_get_from_object_c_str(object, name);
    if (value) aws_json_value_get_string(value, &c);
    return strndup(c.len ? (const char *)c.ptr : "", c.len);
}

static bool is(const struct aws_json_value *object, const char *name, const char *want) {
    char *got  = text(object, name);
    bool equal = strcmp(got, want) == 0;
    free(got);
    return equal;
}

static bool begins(const struct aws_json_value *object, const char *name, const char *prefix) {
    char *got  = text(object, name);
    bool equal = strncmp(got, prefix, strlen(prefix)) == 0;
    free(got);
    return equal;
}

static bool is_true(const struct aws_json_value *object, const char *name) {
    bool yes                           = false;
    const struct aws_json_value *value = aws_json_value_get_from_object_c_str(object, name);
    return value && !aws_json_value_get_boolean(value, &yes) && yes;
}

static struct aws_cryptosdk_keyring *new_raw_aes(
    const struct aws_json_value *entry, const struct aws_string *namespace, const struct aws_string *name) {
    struct aws_cryptosdk_keyring *keyring = NULL;
    char *base64                          = text(entry, "material");
    struct aws_byte_cursor encoded        = aws_byte_cursor_from_c_str(base64);
    uint8_t room[64];
    struct aws_byte_buf key = aws_byte_buf_from_empty_array(room, sizeof(room));
    if (!aws_base64_decode(&encoded, &key)) {
        keyring = aws_cryptosdk_raw_aes_keyring_new(
            allocator, namespace, name, key.buffer, (enum aws_cryptosdk_aes_key_len)key.len);
    }
    free(base64);
    return keyring;
}

static struct aws_cryptosdk_keyring *new_raw_rsa(
    const struct aws_json_value *key, const struct aws_json_value *entry, const struct aws_string *namespace,
    const struct aws_string *name) {
    enum aws_cryptosdk_rsa_padding_mode padding;
    if (is(key, "padding-algorithm", "pkcs1")) {
        padding = AWS_CRYPTOSDK_RSA_PKCS1;
    } else if (is(key, "padding-hash", "sha1")) {
        padding = AWS_CRYPTOSDK_RSA_OAEP_SHA1_MGF1;
    } else if (is(key, "padding-hash", "sha256")) {
        padding = AWS_CRYPTOSDK_RSA_OAEP_SHA256_MGF1;
    } else {
        return lacks("no OAEP with SHA-384 or SHA-512");
    }
    char *pem                             = text(entry, "material");
    bool private                          = is(entry, "type", "private");
    struct aws_cryptosdk_keyring *keyring = aws_cryptosdk_raw_rsa_keyring_new(
        allocator, namespace, name, private ? pem : NULL, private ? NULL : pem, padding);
    free(pem);
    return keyring;
}

static struct aws_cryptosdk_keyring *new_raw(const struct aws_json_value *key) {
    char *id = text(key, "key"), *provider = text(key, "provider-id");
    const struct aws_json_value *entry    = aws_json_value_get_from_object_c_str(keys, id);
    struct aws_cryptosdk_keyring *keyring = NULL;
    if (entry) {
        char *key_id                 = text(entry, "key-id");
        struct aws_string *namespace = aws_string_new_from_c_str(allocator, provider);
        struct aws_string *name      = aws_string_new_from_c_str(allocator, key_id);
        keyring = is(key, "encryption-algorithm", "aes") ? new_raw_aes(entry, namespace, name)
                                                         : new_raw_rsa(key, entry, namespace, name);
        aws_string_destroy(namespace);
        aws_string_destroy(name);
        free(key_id);
    } else {
        fail("no such key");
    }
    free(id);
    free(provider);
    return keyring;
}

static struct aws_cryptosdk_keyring *new_keyring(const struct aws_json_value *key);

static struct aws_cryptosdk_keyring *new_multi(const struct aws_json_value *key) {
    const struct aws_json_value *first      = aws_json_value_get_from_object_c_str(key, "generator");
    struct aws_cryptosdk_keyring *generator = NULL;
    if (first && aws_json_value_is_object(first) && !(generator = new_keyring(first))) return NULL;
    struct aws_cryptosdk_keyring *multi = aws_cryptosdk_multi_keyring_new(allocator, generator);
    aws_cryptosdk_keyring_release(generator);
    const struct aws_json_value *children = aws_json_value_get_from_object_c_str(key, "childKeyrings");
    size_t n                              = children ? aws_json_get_array_size(children) : 0;
    for (size_t i = 0; multi && i < n; i++) {
        struct aws_cryptosdk_keyring *child = new_keyring(aws_json_get_array_element(children, i));
        bool added                          = child && !aws_cryptosdk_multi_keyring_add_child(multi, child);
        aws_cryptosdk_keyring_release(child);
        if (!added) {
            aws_cryptosdk_keyring_release(multi);
            return NULL;
        }
    }
    return multi;
}

static struct aws_cryptosdk_keyring *new_keyring(const struct aws_json_value *key) {
    if (is(key, "type", "raw")) return new_raw(key);
    if (is(key, "type", "multi-keyring")) return new_multi(key);
    if (is(key, "type", "raw-ecdh")) return lacks("no raw ECDH keyring");
    if (is(key, "type", "required-encryption-context-cmm")) return lacks("no required encryption context CMM");
    if (is(key, "type", "aws-kms-rsa")) return lacks("no KMS RSA keyring");
    if (is(key, "type", "aws-kms-ecdh")) return lacks("no KMS ECDH keyring");
    if (begins(key, "type", "aws-kms")) return lacks("not built: the AWS KMS keyrings, which are in C++");
    fail("no such type of key");
    return NULL;
}

static int put_pair(const struct aws_byte_cursor *key, const struct aws_json_value *value, bool *more, void *context) {
    (void)more;
    struct aws_byte_cursor text;
    if (aws_json_value_get_string(value, &text)) return AWS_OP_ERR;
    return aws_hash_table_put(
        context, aws_string_new_from_cursor(allocator, key), aws_string_new_from_cursor(allocator, &text), NULL);
}

static struct aws_cryptosdk_session *new_session(const struct aws_json_value *request, enum aws_cryptosdk_mode mode) {
    struct aws_cryptosdk_keyring *keyring = new_keyring(aws_json_value_get_from_object_c_str(request, "key"));
    if (!keyring) return NULL;
    struct aws_cryptosdk_cmm *cmm = aws_cryptosdk_default_cmm_new(allocator, keyring);
    aws_cryptosdk_keyring_release(keyring);
    if (!cmm) return NULL;
    char *suite = text(request, "suite");
    long id     = strtol(suite, NULL, 16);
    bool commits =
        id == ALG_AES256_GCM_HKDF_SHA512_COMMIT_KEY || id == ALG_AES256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384;
    free(suite);
    enum aws_cryptosdk_commitment_policy policy = commits ? COMMITMENT_POLICY_REQUIRE_ENCRYPT_REQUIRE_DECRYPT
                                                  : mode == AWS_CRYPTOSDK_ENCRYPT
                                                      ? COMMITMENT_POLICY_FORBID_ENCRYPT_ALLOW_DECRYPT
                                                      : COMMITMENT_POLICY_REQUIRE_ENCRYPT_ALLOW_DECRYPT;
    struct aws_cryptosdk_session *s             = NULL;
    if (mode == AWS_CRYPTOSDK_DECRYPT || !aws_cryptosdk_default_cmm_set_alg_id(cmm, (enum aws_cryptosdk_alg_id)id)) {
        s = aws_cryptosdk_session_new_from_cmm_2(allocator, mode, cmm);
    }
    aws_cryptosdk_cmm_release(cmm);
    if (!s) return NULL;
    int err = aws_cryptosdk_session_set_commitment_policy(s, policy);
    if (!err && mode == AWS_CRYPTOSDK_ENCRYPT) {
        double frame                         = 0;
        const struct aws_json_value *context = aws_json_value_get_from_object_c_str(request, "context");
        aws_json_value_get_number(aws_json_value_get_from_object_c_str(request, "frame"), &frame);
        err = aws_cryptosdk_session_set_frame_size(s, (uint32_t)frame);
        if (!err && context) {
            err = aws_json_const_iterate_object(context, put_pair, aws_cryptosdk_session_get_enc_ctx_ptr_mut(s));
        }
    }
    if (!err) return s;
    aws_cryptosdk_session_destroy(s);
    return NULL;
}

/* Passes a message in pieces. To encrypt, the session learns its size with the last piece. */
static int pass(
    struct aws_cryptosdk_session *s, enum aws_cryptosdk_mode mode, const uint8_t *in, size_t n, uint8_t *out,
    size_t room, size_t *written) {
    size_t given = 0, from = 0;
    bool sized = mode == AWS_CRYPTOSDK_DECRYPT;
    while (!aws_cryptosdk_session_is_done(s)) {
        size_t before = given, read = 0, more = 0;
        given = n - given > PIECE ? given + PIECE : n;
        if (given == n && !sized) {
            sized = true;
            if (aws_cryptosdk_session_set_message_size(s, n)) return -1;
        }
        if (aws_cryptosdk_session_process(s, out + *written, room - *written, &more, in + from, given - from, &read))
            return -1;
        from += read;
        *written += more;
        if (before == n && read + more == 0 && !aws_cryptosdk_session_is_done(s))
            return fail("the message is incomplete");
    }
    return from == n ? 0 : fail("bytes follow the message");
}

static uint8_t *read_file(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *n = ftell(f);
    rewind(f);
    uint8_t *data = malloc(*n + 1);
    if (data && fread(data, 1, *n, f) != *n) {
        free(data);
        data = NULL;
    }
    fclose(f);
    return data;
}

static int write_file(const char *path, const uint8_t *data, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f) return fail("can't write the file");
    bool all = fwrite(data, 1, n, f) == n;
    return fclose(f) == 0 && all ? 0 : fail("can't write the file");
}

static int append_text(struct aws_byte_buf *to, const struct aws_string *text) {
    struct aws_json_value *value = aws_json_value_new_string(allocator, aws_byte_cursor_from_string(text));
    int err                      = !value || aws_byte_buf_append_json_string(value, to);
    aws_json_value_destroy(value);
    return err;
}

/* Appends the context by hand: objects of aws-c-common don't keep keys apart that differ only in case. */
static int append_context(struct aws_byte_buf *to, const struct aws_hash_table *context) {
    struct aws_byte_cursor between = aws_byte_cursor_from_c_str("{\"context\":{");
    struct aws_byte_cursor colon = aws_byte_cursor_from_c_str(":"), comma = aws_byte_cursor_from_c_str(",");
    struct aws_byte_cursor end = aws_byte_cursor_from_c_str("}}");
    struct aws_hash_iter it    = aws_hash_iter_begin(context);
    for (; !aws_hash_iter_done(&it); aws_hash_iter_next(&it)) {
        if (aws_byte_buf_append_dynamic(to, &between) || append_text(to, it.element.key) ||
            aws_byte_buf_append_dynamic(to, &colon) || append_text(to, it.element.value)) {
            return -1;
        }
        between = comma;
    }
    if (to->len == 0 && aws_byte_buf_append_dynamic(to, &between)) return -1;
    return aws_byte_buf_append_dynamic(to, &end);
}

/* Encrypts or decrypts a file, and appends the answer. */
static int process(const struct aws_json_value *request, enum aws_cryptosdk_mode mode, struct aws_byte_buf *answer) {
    struct aws_cryptosdk_session *s = new_session(request, mode);
    if (!s) return -1;
    char *in = text(request, "in"), *out = text(request, "out");
    double frame = 0;
    aws_json_value_get_number(aws_json_value_get_from_object_c_str(request, "frame"), &frame);
    size_t n = 0, written = 0, room = 0;
    uint8_t *data = read_file(in, &n), *result = NULL;
    int err = data ? 0 : fail("can't read the file");
    if (!err) {
        room   = n + HEADER_ROOM + (frame > 0 ? n / (size_t)frame * FRAME_OVERHEAD : 0);
        result = malloc(room);
        err    = result ? 0 : fail("no memory");
    }
    if (!err && is_true(request, "stream")) {
        err = pass(s, mode, data, n, result, room, &written);
    } else if (!err) {
        err = aws_cryptosdk_session_process_full(s, result, room, &written, data, n);
    }
    if (!err && mode == AWS_CRYPTOSDK_DECRYPT) {
        err = append_context(answer, aws_cryptosdk_session_get_enc_ctx_ptr(s));
    } else if (!err) {
        struct aws_byte_cursor nothing = aws_byte_cursor_from_c_str("{}");
        err                            = aws_byte_buf_append_dynamic(answer, &nothing);
    }
    if (!err) err = write_file(out, result, written);
    free(result);
    free(data);
    free(in);
    free(out);
    aws_cryptosdk_session_destroy(s);
    return err;
}

static int hello(struct aws_byte_buf *answer) {
    char openssl[32] = "", line[160];
    sscanf(OpenSSL_version(OPENSSL_VERSION), "OpenSSL %31s", openssl);
    snprintf(
        line, sizeof(line), "{\"name\":\"aws-encryption-sdk-c\",\"version\":\"%s\",\"with\":\"OpenSSL %s\"}",
        AWS_CRYPTOSDK_VERSION_STR, openssl);
    struct aws_byte_cursor c = aws_byte_cursor_from_c_str(line);
    return aws_byte_buf_append_dynamic(answer, &c);
}

static int perform(const struct aws_json_value *request, struct aws_byte_buf *answer) {
    if (is(request, "op", "hello")) return hello(answer);
    if (is(request, "op", "store")) {
        lacks("no key stores");
    } else if (!is(request, "api", "")) {
        lacks("no master key providers");
    } else if (aws_json_value_has_key_c_str(request, "reproduced")) {
        lacks("no reproduced encryption context");
    } else if (is(request, "op", "encrypt")) {
        return process(request, AWS_CRYPTOSDK_ENCRYPT, answer);
    } else if (is(request, "op", "decrypt")) {
        return process(request, AWS_CRYPTOSDK_DECRYPT, answer);
    } else {
        fail("no such operation");
    }
    return -1;
}

static void answer(const char *line) {
    failure = unsupported          = NULL;
    struct aws_json_value *request = aws_json_value_new_from_string(allocator, aws_byte_cursor_from_c_str(line));
    struct aws_byte_buf out;
    int err = aws_byte_buf_init(&out, allocator, 256);
    if (!err) err = request ? perform(request, &out) : fail("the request isn't JSON");
    if (unsupported) {
        printf("{\"unsupported\":\"%s\"}\n", unsupported);
    } else if (err) {
        printf("{\"error\":\"%s\"}\n", failure ? failure : aws_error_str(aws_last_error()));
    } else {
        printf("%.*s\n", (int)out.len, (const char *)out.buffer);
    }
    fflush(stdout);
    aws_byte_buf_clean_up(&out);
    aws_json_value_destroy(request);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fputs("usage: c KEYS\n", stderr);
        return 2;
    }
    allocator = aws_default_allocator();
    aws_common_library_init(allocator);
    aws_cryptosdk_load_error_strings();
    size_t n      = 0;
    uint8_t *data = read_file(argv[1], &n);
    struct aws_json_value *manifest =
        data ? aws_json_value_new_from_string(allocator, aws_byte_cursor_from_array(data, n)) : NULL;
    keys = manifest ? aws_json_value_get_from_object_c_str(manifest, "keys") : NULL;
    if (!keys) {
        fprintf(stderr, "no keys in %s\n", argv[1]);
        return 1;
    }
    char *line  = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) answer(line);
    free(line);
    free(data);
    aws_json_value_destroy(manifest);
    return 0;
}

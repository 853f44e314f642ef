/* Users in the store: SCRAM credentials as events, and the secret that salts of users that do not exist come from.
 *
 *   stream $credentials-<user>   the newest event counts: {"user","mechanisms":{"SCRAM-SHA-256":{"iterations","salt","stored",
 *                                "server"}}}; without mechanisms: deleted. The category keeps the newest of each only
 *   stream $credentials          one event: {"secret"}, made when there is none
 *
 * They are read once, when the server starts; afterwards whoever changes them is this one, under the lock, event first. */
#include <proto/kafka/calls_int.h>
#include <proto/kafka/sasl_int.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <openssl/crypto.h>
#include <os/os.h>
#include <stdlib.h>

#define CATEGORY "$credentials"

struct credentials {
    cairn_store *store;
    cairn_scope scope;
    pthread_mutex_t lock; /* one change at a time */
    struct sasl_users *users;
};

struct sasl_users *
credentials_users(struct credentials *credentials)
{
    return credentials->users;
}

/* ---- events -------------------------------------------------------------------------------------------------------------- */

static void
put_base64(struct buf *to, const char *name, const void *bytes, size_t size)
{
    json_put_name(to, name);
    buf_put_char(to, '"');
    base64_put(to, (cairn_str){bytes, size});
    buf_put_char(to, '"');
}

static bool
get_base64(struct json value, const char *name, size_t least, size_t most, uint8_t *to, size_t *ret_size)
{
    struct arena arena = {.size_max = 4096};
    struct buf bytes = {0};
    cairn_str text = json_string(json_get(value, name), &arena);
    bool fine = text.data && base64_get(&bytes, text) && !bytes.failed && bytes.size >= least && bytes.size <= most;
    if (fine) {
        memcpy(to, bytes.data, bytes.size);
        *ret_size = bytes.size;
    }
    buf_free(&bytes);
    arena_free(&arena);
    return fine;
}

static cairn_err
append(struct credentials *credentials, cairn_str stream, const char *type, int64_t expected, cairn_str data, cairn_error *error)
{
    cairn_event event = {.type = cairn_cstr(type), .data = data};
    cairn_write write = {stream, expected, &event, 1};
    cairn_append_request request = {.scope = credentials->scope, .writes = &write, .write_count = 1, .system = true};
    cairn_at at;
    return cairn_append_all(credentials->store, &request, &at, error);
}

/* The newest event of a stream, in the sink's hands; CAIRN_E_END: there is none. */
static cairn_err
newest(struct credentials *credentials, cairn_str stream, struct buf *to, cairn_error *error)
{
    cairn_read_options options = {
        .scope = credentials->scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD, .system = true};
    cairn_reader *reader;
    cairn_recorded event;
    cairn_err err = cairn_read_stream(credentials->store, stream, &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_OK) {
        buf_put_str(to, event.event.data);
        err = to->failed ? error_set(error, CAIRN_E_NOMEM, "out of memory") : CAIRN_OK;
    }
    cairn_reader_free(reader);
    return err;
}

/* The store's own, for good. Where nobody has to log in nothing is shown that comes from it, and none is written. */
static cairn_err
get_secret(struct credentials *credentials, bool login, uint8_t ret[32], cairn_error *error)
{
    struct buf data = {0};
    struct json value;
    size_t size;
    cairn_err err = newest(credentials, CAIRN_STR(CATEGORY), &data, error);
    if (err == CAIRN_E_END) {
        os_random(os_real(), ret, 32);
        err = CAIRN_OK;
        if (!login)
            goto done;
        buf_put_char(&data, '{');
        put_base64(&data, "secret", ret, 32);
        buf_put_char(&data, '}');
        err = data.failed ? error_set(error, CAIRN_E_NOMEM, "out of memory")
                          : append(credentials, CAIRN_STR(CATEGORY), "SecretMade", CAIRN_NONE, buf_str(&data), error);
    } else if (err == CAIRN_OK) {
        err = json_check(buf_str(&data), &value, error);
        if (err == CAIRN_OK && !get_base64(value, "secret", 32, 32, ret, &size))
            err = error_set(error, CAIRN_E_CORRUPT, "the event in " CATEGORY " has no secret");
    }
done:
    if (data.data)
        OPENSSL_cleanse(data.data, data.size);
    buf_free(&data);
    return err;
}

/* ---- a user -------------------------------------------------------------------------------------------------------------- */

static void
put_user(struct buf *to, cairn_str name, const struct sasl_credential kinds[2])
{
    buf_put_char(to, '{');
    json_put_text_member(to, "user", name);
    json_put_name(to, "mechanisms");
    buf_put_char(to, '{');
    for (unsigned i = 0; i < 2; i++) {
        enum sasl_mechanism mechanism = SASL_SCRAM_SHA_256 + i;
        size_t size = mechanism == SASL_SCRAM_SHA_512 ? 64 : 32;
        if (kinds[i].iterations == 0)
            continue;
        json_put_name(to, sasl_name(mechanism));
        buf_put_char(to, '{');
        json_put_u64_member(to, "iterations", kinds[i].iterations);
        put_base64(to, "salt", kinds[i].salt, kinds[i].salt_size);
        put_base64(to, "stored", kinds[i].stored, size);
        put_base64(to, "server", kinds[i].server, size);
        buf_put_char(to, '}');
    }
    buf_put_str(to, CAIRN_STR("}}"));
}

static cairn_err
apply_user(struct credentials *credentials, cairn_str data, cairn_error *error)
{
    struct arena arena = {.size_max = 65536};
    struct json value;
    cairn_err err = json_check(data, &value, error);
    cairn_str name = err == CAIRN_OK ? json_string(json_get(value, "user"), &arena) : (cairn_str){0};
    struct json kinds = err == CAIRN_OK ? json_get(value, "mechanisms") : (struct json){0};
    if (err == CAIRN_OK && !sasl_name_valid(name))
        goto done; /* nobody can log in by it, so it is no reason not to start */
    for (enum sasl_mechanism mechanism = SASL_SCRAM_SHA_256; err == CAIRN_OK && mechanism <= SASL_SCRAM_SHA_512; mechanism++) {
        struct json kind = json_get(kinds, sasl_name(mechanism));
        size_t size = mechanism == SASL_SCRAM_SHA_512 ? 64 : 32, salt_size = 0, key_size;
        struct sasl_credential credential = {0};
        uint64_t iterations = 0;
        if (kind.type != JSON_OBJECT) { /* no longer */
            err = sasl_users_put(credentials->users, name, mechanism, &credential, false, error);
            continue;
        }
        if (!json_u64(json_get(kind, "iterations"), &iterations) || iterations < 1 || iterations > UINT32_MAX ||
            !get_base64(kind, "salt", 1, SASL_SALT_MAX, credential.salt, &salt_size) ||
            !get_base64(kind, "stored", size, size, credential.stored, &key_size) ||
            !get_base64(kind, "server", size, size, credential.server, &key_size))
            err = error_set(error, CAIRN_E_CORRUPT, "an event of category " CATEGORY " is no user's");
        credential.iterations = (uint32_t)iterations;
        credential.salt_size = (uint8_t)salt_size;
        if (err == CAIRN_OK)
            err = sasl_users_put(credentials->users, name, mechanism, &credential, false, error);
    }
done:
    arena_free(&arena);
    return err;
}

static cairn_err
load(struct credentials *credentials, cairn_error *error)
{
    cairn_read_options options = {.scope = credentials->scope, .system = true, .category = CAIRN_STR(CATEGORY)};
    cairn_reader *reader;
    cairn_recorded event;
    cairn_err err = cairn_read_all(credentials->store, &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    while (err == CAIRN_OK && (err = cairn_reader_next(reader, &event, error)) == CAIRN_OK)
        if (!cairn_str_equal(event.stream, CAIRN_STR(CATEGORY)))
            err = apply_user(credentials, event.event.data, error);
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

cairn_err
credentials_put(struct credentials *credentials, cairn_str name, enum sasl_mechanism mechanism,
                const struct sasl_credential *credential, cairn_error *error)
{
    struct sasl_credential kinds[2] = {{0}, {0}};
    struct buf stream = {0}, data = {0};
    cairn_err err = CAIRN_OK;
    pthread_mutex_lock(&credentials->lock);
    bool known[2] = {sasl_users_get(credentials->users, name, SASL_SCRAM_SHA_256, &kinds[0]),
                     sasl_users_get(credentials->users, name, SASL_SCRAM_SHA_512, &kinds[1])};
    if (credential->iterations == 0 && !known[mechanism - SASL_SCRAM_SHA_256])
        err = error_set(error, CAIRN_E_NOTFOUND, "the user has no such credential");
    else if (!sasl_name_valid(name)) /* before it is in the store for good */
        err = sasl_name_refuse(error);
    else if (sasl_users_is_fixed(credentials->users, name))
        err = error_set(error, CAIRN_E_READONLY, "the user is in the users' file, which alone changes it");
    else if (!sasl_users_has_room(credentials->users, name))
        err = error_set(error, CAIRN_E_LIMIT, "there are %u users, which is the limit", SASL_USERS_MAX);
    kinds[mechanism - SASL_SCRAM_SHA_256] = *credential;
    buf_put_str(&stream, CAIRN_STR(CATEGORY "-"));
    buf_put_str(&stream, name);
    put_user(&data, name, kinds);
    if (err == CAIRN_OK && (stream.failed || data.failed))
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (err == CAIRN_OK)
        err = append(credentials, buf_str(&stream), "CredentialsChanged", CAIRN_ANY, buf_str(&data), error);
    if (err == CAIRN_OK)
        err = sasl_users_put(credentials->users, name, mechanism, credential, false, error);
    pthread_mutex_unlock(&credentials->lock);
    OPENSSL_cleanse(kinds, sizeof kinds);
    if (data.data)
        OPENSSL_cleanse(data.data, data.size);
    buf_free(&stream);
    buf_free(&data);
    return err;
}

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

cairn_err
credentials_open(cairn_store *store, cairn_scope scope, bool login, struct credentials **ret, cairn_error *error)
{
    struct credentials *credentials = calloc(1, sizeof *credentials);
    uint8_t secret[32];
    if (!credentials)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    credentials->store = store;
    credentials->scope = scope;
    pthread_mutex_init(&credentials->lock, NULL);
    cairn_err err = get_secret(credentials, login, secret, error);
    if (err == CAIRN_OK)
        err = sasl_users_new(secret, &credentials->users, error);
    if (err == CAIRN_OK)
        err = load(credentials, error);
    OPENSSL_cleanse(secret, sizeof secret);
    if (err != CAIRN_OK) {
        credentials_free(credentials);
        return err;
    }
    *ret = credentials;
    return CAIRN_OK;
}

void
credentials_free(struct credentials *credentials)
{
    if (!credentials)
        return;
    sasl_users_free(credentials->users);
    pthread_mutex_destroy(&credentials->lock);
    free(credentials);
}

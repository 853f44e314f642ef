/* Logging in: SaslHandshake chooses the mechanism, SaslAuthenticate carries its messages. Who may log in is kafka_sasl_new()'s.
 *
 * An exchange is the session's. The same connection may log in again (KIP-368), as the same user; its login ends by the
 * session's lifetime, or when its token expires. */
#include <proto/kafka/calls_int.h>

#include <base/error.h>
#include <os/os.h>
#include <stdio.h>
#include <stdlib.h>

#define PRINCIPAL_PREFIX "User:"

struct login {
    struct sasl_exchange exchange;
    bool begun;
    char user[SASL_NAME_MAX + 1]; /* logged in as; "" before */
    struct buf reply;
};

static void
end_exchange(struct login *login)
{
    if (login->begun)
        sasl_end(&login->exchange);
    login->begun = false;
}

void
sasl_session_end(struct kafka_session *session)
{
    struct login *login = session->sasl;
    if (!login)
        return;
    end_exchange(login);
    buf_free(&login->reply);
    free(login);
    session->sasl = NULL;
}

void
answer_sasl_handshake(struct kafka_call *call)
{
    const struct kafka_sasl_handshake_request *in = KAFKA_REQUEST(call, sasl_handshake);
    const struct kafka_sasl *sasl = kafka_config_of(call->server)->sasl;
    struct kafka_sasl_handshake_response out;
    enum sasl_mechanism mechanism;
    cairn_str names[SASL_MECHANISMS];
    KAFKA_DEFAULTS(sasl_handshake_response, &out);
    out.mechanisms = names;
    for (unsigned i = 0; sasl && i < SASL_MECHANISMS; i++)
        if (sasl->rules.mechanisms & SASL_BIT(i))
            names[out.mechanisms_count++] = cairn_cstr(sasl_name((enum sasl_mechanism)i));
    if (!sasl)
        out.error_code = KAFKA_ILLEGAL_SASL_STATE;
    else if (!sasl_find(in->mechanism, &mechanism) || !(sasl->rules.mechanisms & SASL_BIT(mechanism)))
        out.error_code = KAFKA_UNSUPPORTED_SASL_MECHANISM;
    else if (call->version == 0) {
        /* Version 0 goes on with bare bytes, without calls around them: no client of these years does. */
        kafka_refuse(call, "it wants to log in without SaslAuthenticate");
        return;
    } else {
        struct login *login = call->session->sasl ? call->session->sasl : calloc(1, sizeof *login);
        uint8_t nonce[SASL_NONCE_BYTES];
        if (!login) {
            kafka_no_memory(call);
            return;
        }
        call->session->sasl = login;
        end_exchange(login);
        os_random(os_real(), nonce, sizeof nonce);
        sasl_begin(&login->exchange, mechanism, nonce);
        login->begun = true;
    }
    kafka_respond(call, &out);
}

/* Log in, or again. False: as somebody else. */
static bool
let_in(struct kafka_call *call, struct login *login, const struct kafka_sasl *sasl, int64_t now_s, int64_t *ret_lifetime_ms)
{
    struct kafka_session *session = call->session;
    int64_t lifetime = sasl->session_max_ms;
    if (login->user[0] && strcmp(login->user, login->exchange.user) != 0)
        return false;
    if (login->exchange.expires_s > 0) {
        int64_t left = login->exchange.expires_s > now_s ? (login->exchange.expires_s - now_s) * 1000 : 1;
        lifetime = lifetime == 0 || left < lifetime ? left : lifetime;
    }
    snprintf(login->user, sizeof login->user, "%s", login->exchange.user);
    snprintf(session->principal, sizeof session->principal, PRINCIPAL_PREFIX "%.*s",
             (int)(sizeof session->principal - sizeof PRINCIPAL_PREFIX), login->user);
    session->logged_in = true;
    session->expires_ms = lifetime > 0 ? clock_ms() + lifetime : 0;
    *ret_lifetime_ms = lifetime;
    return true;
}

/* The name is one that nobody vouches for. */
static void
deny(struct kafka_call *call, const struct sasl_exchange *exchange, const char *why)
{
    call->session->logged_in = false; /* a login that failed ends the one before */
    call->denied = true;              /* and the connection: each guess costs a new one */
    kafka_tell(call, "a login by %s%s%s is refused: %s", sasl_name(exchange->mechanism), exchange->user[0] ? " as " : "",
               exchange->user, why);
}

/* On a pool thread: PLAIN takes some milliseconds. */
void
answer_sasl_authenticate(struct kafka_call *call)
{
    const struct kafka_sasl_authenticate_request *in = KAFKA_REQUEST(call, sasl_authenticate);
    const struct kafka_sasl *sasl = kafka_config_of(call->server)->sasl;
    struct login *login = call->session->sasl;
    struct kafka_sasl_authenticate_response out;
    KAFKA_DEFAULTS(sasl_authenticate_response, &out);
    out.auth_bytes = CAIRN_STR("");
    if (!sasl || !login || !login->begun) {
        out.error_code = KAFKA_ILLEGAL_SASL_STATE;
        out.error_message = CAIRN_STR("SaslHandshake has to choose a mechanism first.");
        kafka_respond(call, &out);
        return;
    }
    int64_t now_s = os_now_us(os_real()) / 1000000;
    buf_clear(&login->reply);
    enum sasl_answer answer = sasl_step(&login->exchange, &sasl->rules, in->auth_bytes, now_s, &login->reply);
    const char *wrong = login->reply.failed ? "The server is out of memory." : NULL;
    if (!wrong && answer == SASL_REFUSED)
        wrong = login->exchange.reason;
    if (!wrong && answer == SASL_DONE && !let_in(call, login, sasl, now_s, &out.session_lifetime_ms))
        wrong = "A connection cannot log in again as somebody else.";
    if (wrong) {
        deny(call, &login->exchange, wrong);
        out.error_code = KAFKA_SASL_AUTHENTICATION_FAILED;
        out.error_message = cairn_cstr(wrong);
    } else
        out.auth_bytes = login->reply.size ? buf_str(&login->reply) : CAIRN_STR("");
    if (wrong || answer == SASL_DONE)
        end_exchange(login);
    kafka_respond(call, &out);
}

/* ---- who may log in ------------------------------------------------------------------------------------------------------ */

static cairn_err
read_file(const char *path, size_t size_max, char **ret_text, size_t *ret_size, cairn_error *error)
{
    int code = os_read_file(os_real(), path, size_max, ret_text, ret_size);
    return code < 0 ? error_set_errno(error, -code, "%s", path) : CAIRN_OK;
}

static cairn_err
load_users(struct kafka_sasl *sasl, const char *path, cairn_error *error)
{
    char *text = NULL;
    size_t size = 0;
    cairn_err err = read_file(path, SASL_FILE_MAX, &text, &size, error);
    if (err == CAIRN_OK)
        err = sasl_users_load(sasl->rules.users, (cairn_str){text, size}, sasl->rules.mechanisms, error);
    if (err != CAIRN_OK && text)
        error_set(error, err, "%s: %s", path, error ? error->detail : "");
    if (text)
        explicit_bzero(text, size);
    free(text);
    return err;
}

static cairn_err
load_keys(struct kafka_sasl *sasl, const char *path, cairn_error *error)
{
    char *text = NULL;
    size_t size = 0;
    cairn_err err = read_file(path, SASL_KEYS_FILE_MAX, &text, &size, error);
    if (err == CAIRN_OK)
        err = sasl_keys_new((cairn_str){text, size}, &sasl->keys, error);
    if (err != CAIRN_OK && text)
        error_set(error, err, "%s: %s", path, error ? error->detail : "");
    if (text)
        explicit_bzero(text, size);
    free(text);
    sasl->rules.tokens.keys = sasl->keys;
    return err;
}

static cairn_str
keep(char *to, size_t room, const char *text)
{
    snprintf(to, room, "%s", text ? text : "");
    return cairn_cstr(to);
}

static bool
found_one(void *context, cairn_str name, const uint32_t iterations[2])
{
    (void)name, (void)iterations;
    *(bool *)context = true;
    return false;
}

/* Whether anybody could log in: somebody with a password, or with a token. */
static bool
knows_anybody(const struct kafka_sasl *sasl)
{
    bool any = sasl->keys != NULL;
    if (!any)
        sasl_users_each(sasl->rules.users, found_one, &any);
    return any;
}

cairn_err
kafka_sasl_new(cairn_store *store, cairn_scope scope, const struct kafka_sasl_options *options, struct kafka_sasl **ret,
               cairn_error *error)
{
    struct kafka_sasl *sasl = calloc(1, sizeof *sasl);
    cairn_err err = sasl ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (err == CAIRN_OK && !sasl_parse_mechanisms(cairn_cstr(options->mechanisms), &sasl->rules.mechanisms))
        err = error_set(error, CAIRN_E_INVALID, "SASL mechanisms are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER, not %s",
                        options->mechanisms);
    if (err == CAIRN_OK)
        err = credentials_open(store, scope, options->mechanisms[0] != '\0', &sasl->credentials, error);
    if (err != CAIRN_OK)
        goto done;
    sasl->rules.users = credentials_users(sasl->credentials);
    sasl->rules.tokens.leeway_s = options->leeway_s ? options->leeway_s : 30;
    sasl->rules.tokens.issuer = keep(sasl->issuer, sizeof sasl->issuer, options->issuer);
    sasl->rules.tokens.audience = keep(sasl->audience, sizeof sasl->audience, options->audience);
    sasl->session_max_ms = options->session_max_ms;
    if (options->users_file)
        err = load_users(sasl, options->users_file, error);
    if (err == CAIRN_OK && options->keys_file)
        err = load_keys(sasl, options->keys_file, error);
    if (err == CAIRN_OK && sasl->rules.mechanisms & SASL_BIT(SASL_OAUTHBEARER) && !sasl->keys)
        err = error_set(error, CAIRN_E_INVALID, "OAUTHBEARER needs a key set to check tokens with");
    if (err == CAIRN_OK && sasl->rules.mechanisms && !knows_anybody(sasl))
        err = error_set(error, CAIRN_E_INVALID, "with %s and no users nobody could log in; kafka.users names the first ones",
                        options->mechanisms);
done:
    if (err != CAIRN_OK) {
        kafka_sasl_free(sasl);
        return err;
    }
    *ret = sasl;
    return CAIRN_OK;
}

void
kafka_sasl_free(struct kafka_sasl *sasl)
{
    if (!sasl)
        return;
    sasl_keys_free(sasl->keys);
    credentials_free(sasl->credentials);
    free(sasl);
}

/* Mechanisms, PLAIN, and what the others have in common. */
#include <proto/kafka/sasl_int.h>

#include <base/text.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <strings.h>

static const char *const names[SASL_MECHANISMS] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"};

const char *
sasl_name(enum sasl_mechanism mechanism)
{
    return names[mechanism];
}

bool
sasl_find(cairn_str name, enum sasl_mechanism *ret)
{
    for (unsigned i = 0; i < SASL_MECHANISMS; i++)
        if (name.size == strlen(names[i]) && strncasecmp(name.data, names[i], name.size) == 0) {
            *ret = (enum sasl_mechanism)i;
            return true;
        }
    return false;
}

bool
sasl_parse_mechanisms(cairn_str text, unsigned *ret_bits)
{
    unsigned bits = 0;
    for (size_t at = 0; at < text.size;) {
        size_t end = at;
        enum sasl_mechanism mechanism;
        while (end < text.size && text.data[end] != ',' && text.data[end] != ' ')
            end++;
        if (end > at && !sasl_find((cairn_str){text.data + at, end - at}, &mechanism))
            return false;
        if (end > at)
            bits |= SASL_BIT(mechanism);
        at = end + 1;
    }
    *ret_bits = bits;
    return true;
}

bool
sasl_cut(cairn_str *text, char separator, cairn_str *ret_piece)
{
    const char *end = text->size ? memchr(text->data, separator, text->size) : NULL;
    size_t size = end ? (size_t)(end - text->data) : text->size;
    *ret_piece = (cairn_str){text->data, size};
    text->data += size + (end != NULL);
    text->size -= size + (end != NULL);
    return end != NULL;
}

bool
sasl_name_valid(cairn_str name)
{
    if (name.size == 0 || name.size > SASL_NAME_MAX || !utf8_valid(name))
        return false;
    for (size_t i = 0; i < name.size; i++)
        if ((unsigned char)name.data[i] < 0x20 || name.data[i] == 0x7f)
            return false;
    return true;
}

bool
sasl_set_user(struct sasl_exchange *exchange, cairn_str name)
{
    if (!sasl_name_valid(name))
        return false;
    memcpy(exchange->user, name.data, name.size);
    exchange->user[name.size] = '\0';
    return true;
}

/* ---- hashes -------------------------------------------------------------------------------------------------------------- */

static const EVP_MD *
digest(enum sasl_mechanism mechanism)
{
    return mechanism == SASL_SCRAM_SHA_512 ? EVP_sha512() : EVP_sha256();
}

size_t
sasl_hash_size(enum sasl_mechanism mechanism)
{
    return mechanism == SASL_SCRAM_SHA_512 ? 64 : 32;
}

bool
sasl_hash(enum sasl_mechanism mechanism, cairn_str bytes, uint8_t ret[64])
{
    return EVP_Digest(bytes.data, bytes.size, ret, NULL, digest(mechanism), NULL) == 1;
}

bool
sasl_hmac(enum sasl_mechanism mechanism, cairn_str key, cairn_str bytes, uint8_t ret[64])
{
    unsigned size;
    return HMAC(digest(mechanism), key.data, (int)key.size, (const unsigned char *)bytes.data, bytes.size, ret, &size) != NULL;
}

/* RFC 5802 §3: ClientKey and ServerKey from the salted password, and what is kept of them. */
bool
sasl_derive_salted(enum sasl_mechanism mechanism, cairn_str salted, cairn_str salt, uint32_t iterations,
                   struct sasl_credential *ret)
{
    uint8_t client_key[64];
    size_t size = sasl_hash_size(mechanism);
    if (salt.size > SASL_SALT_MAX || salt.size == 0)
        return false;
    memset(ret, 0, sizeof *ret);
    bool done = sasl_hmac(mechanism, salted, CAIRN_STR("Client Key"), client_key) &&
                sasl_hash(mechanism, (cairn_str){(const char *)client_key, size}, ret->stored) &&
                sasl_hmac(mechanism, salted, CAIRN_STR("Server Key"), ret->server);
    memcpy(ret->salt, salt.data, salt.size);
    ret->salt_size = (uint8_t)salt.size;
    ret->iterations = iterations;
    OPENSSL_cleanse(client_key, sizeof client_key);
    return done;
}

bool
sasl_derive(enum sasl_mechanism mechanism, cairn_str password, cairn_str salt, uint32_t iterations, struct sasl_credential *ret)
{
    uint8_t salted[64];
    size_t size = sasl_hash_size(mechanism);
    if (salt.size > SASL_SALT_MAX)
        return false;
    bool done = PKCS5_PBKDF2_HMAC(password.size ? password.data : "", (int)password.size, (const unsigned char *)salt.data,
                                  (int)salt.size, (int)iterations, digest(mechanism), (int)size, salted) == 1 &&
                sasl_derive_salted(mechanism, (cairn_str){(const char *)salted, size}, salt, iterations, ret);
    OPENSSL_cleanse(salted, sizeof salted);
    return done;
}

/* ---- PLAIN --------------------------------------------------------------------------------------------------------------- */

/* message = [authzid] NUL authcid NUL passwd. One may only act as oneself. */
static enum sasl_answer
plain_step(struct sasl_exchange *exchange, const struct sasl_rules *rules, cairn_str message)
{
    cairn_str authzid, name, password = message;
    struct sasl_credential kept, derived;
    if (!sasl_cut(&password, '\0', &authzid) || !sasl_cut(&password, '\0', &name) || !sasl_set_user(exchange, name) ||
        password.size == 0 || password.size > SASL_PASSWORD_MAX || memchr(password.data, '\0', password.size))
        return sasl_refuse(exchange, "The PLAIN message is malformed.");
    if (authzid.size > 0 && !cairn_str_equal(authzid, name))
        return sasl_refuse(exchange, "Nobody may act in another user's name.");
    enum sasl_mechanism kind = SASL_SCRAM_SHA_256;
    struct sasl_credential other;
    if (!sasl_users_get(rules->users, name, kind, &other) && sasl_users_get(rules->users, name, SASL_SCRAM_SHA_512, &other))
        kind = SASL_SCRAM_SHA_512;
    bool known = sasl_users_find(rules->users, name, kind, &kept);
    if (!sasl_derive(kind, password, (cairn_str){(const char *)kept.salt, kept.salt_size}, kept.iterations, &derived))
        return sasl_refuse(exchange, "The server is out of memory.");
    bool same = CRYPTO_memcmp(kept.stored, derived.stored, sasl_hash_size(kind)) == 0;
    OPENSSL_cleanse(&derived, sizeof derived);
    OPENSSL_cleanse(&kept, sizeof kept);
    OPENSSL_cleanse(&other, sizeof other);
    if (!(same & known))
        return sasl_refuse(exchange, "Authentication failed: unknown user or wrong password.");
    exchange->state = SASL_OVER;
    return SASL_DONE;
}

/* ---- the exchange -------------------------------------------------------------------------------------------------------- */

void
sasl_begin(struct sasl_exchange *exchange, enum sasl_mechanism mechanism, const uint8_t nonce[SASL_NONCE_BYTES])
{
    struct buf text = {0};
    *exchange = (struct sasl_exchange){.mechanism = mechanism};
    base64_put(&text, (cairn_str){(const char *)nonce, SASL_NONCE_BYTES});
    if (!text.failed && text.size < sizeof exchange->nonce)
        memcpy(exchange->nonce, text.data, text.size);
    else
        (void)sasl_refuse(exchange, "The server is out of memory.");
    buf_free(&text);
}

enum sasl_answer
sasl_step(struct sasl_exchange *exchange, const struct sasl_rules *rules, cairn_str message, int64_t now_s, struct buf *reply)
{
    if (exchange->state == SASL_OVER)
        return sasl_refuse(exchange, exchange->reason ? exchange->reason : "The exchange is over.");
    if (message.size > SASL_MESSAGE_MAX)
        return sasl_refuse(exchange, "The message is too long.");
    if (exchange->mechanism == SASL_PLAIN)
        return plain_step(exchange, rules, message);
    if (exchange->mechanism == SASL_OAUTHBEARER)
        return sasl_bearer_step(exchange, rules, message, now_s, reply);
    return sasl_scram_step(exchange, rules, message, reply);
}

void
sasl_end(struct sasl_exchange *exchange)
{
    buf_free(&exchange->first);
    buf_free(&exchange->gs2);
    buf_free(&exchange->combined);
    OPENSSL_cleanse(&exchange->credential, sizeof exchange->credential);
}

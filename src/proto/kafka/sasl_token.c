/* JSON Web Tokens (RFC 7519) in compact form (RFC 7515), checked by a fixed set of keys (RFC 7517, 7518).
 *
 * The key decides what a signature may be, never the token: an RSA key checks RS256 and nothing else, so a public key cannot
 * be taken for a shared secret, and "none" fits no key at all. */
#include <proto/kafka/sasl_int.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdlib.h>

#define KEY_ID_MAX 256u
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define SECRET_MIN 32u
#define SECRET_MAX 1024u
#define SIGNATURE_MAX 1024u

enum key_kind { KEY_RS256, KEY_ES256, KEY_HS256 };
static const char *const algorithms[] = {"RS256", "ES256", "HS256"};

struct key {
    enum key_kind kind;
    bool has_id;
    char id[KEY_ID_MAX + 1];
    EVP_PKEY *public;        /* RS256, ES256 */
    uint8_t secret[SECRET_MAX];
    size_t secret_size;
};
struct sasl_keys {
    size_t count;
    struct key keys[SASL_KEYS_MAX];
};

/* ---- the key set --------------------------------------------------------------------------------------------------------- */

/* A member that is base64url, as bytes. */
static bool
get_coded(struct json value, const char *name, struct arena *arena, struct buf *to)
{
    cairn_str text = json_string(json_get(value, name), arena);
    buf_clear(to);
    return text.data && text.size > 0 && base64_get(to, text) && !to->failed;
}

static EVP_PKEY *
public_from(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *
rsa_public(struct json value, struct arena *arena)
{
    struct buf n = {0}, e = {0};
    EVP_PKEY *key = NULL;
    BIGNUM *modulus = NULL, *exponent = NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (!builder || !get_coded(value, "n", arena, &n) || !get_coded(value, "e", arena, &e) || n.size > RSA_BITS_MAX / 8 + 1 ||
        e.size > 8)
        goto done;
    modulus = BN_bin2bn((const unsigned char *)n.data, (int)n.size, NULL);
    exponent = BN_bin2bn((const unsigned char *)e.data, (int)e.size, NULL);
    if (modulus && exponent && BN_num_bits(modulus) >= RSA_BITS_MIN && BN_is_odd(modulus) && BN_is_odd(exponent) &&
        !BN_is_one(exponent) && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent))
        key = public_from("RSA", builder);
done:
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    buf_free(&n);
    buf_free(&e);
    return key;
}

static EVP_PKEY *
p256_public(struct json value, struct arena *arena)
{
    struct buf x = {0}, y = {0};
    EVP_PKEY *key = NULL;
    uint8_t point[65] = {4}; /* SEC 1 §2.3.3: not compressed */
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (builder && json_string_is(json_get(value, "crv"), "P-256") && get_coded(value, "x", arena, &x) &&
        get_coded(value, "y", arena, &y) && x.size == 32 && y.size == 32) {
        memcpy(point + 1, x.data, 32);
        memcpy(point + 33, y.data, 32);
        if (OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
            OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point))
            key = public_from("EC", builder);
    }
    OSSL_PARAM_BLD_free(builder);
    buf_free(&x);
    buf_free(&y);
    return key;
}

/* False: a key that is not for us. */
static bool
read_key(struct json value, struct arena *arena, struct key *ret)
{
    struct json type = json_get(value, "kty"), use = json_get(value, "use"), alg = json_get(value, "alg");
    cairn_str id = json_string(json_get(value, "kid"), arena);
    struct buf secret = {0};
    *ret = (struct key){.has_id = id.data != NULL};
    if (id.size > KEY_ID_MAX || (use.type != JSON_NONE && !json_string_is(use, "sig")))
        return false;
    if (id.size)
        memcpy(ret->id, id.data, id.size);
    ret->kind = json_string_is(type, "RSA") ? KEY_RS256 : json_string_is(type, "EC") ? KEY_ES256 : KEY_HS256;
    if (alg.type != JSON_NONE && !json_string_is(alg, algorithms[ret->kind]))
        return false;
    if (ret->kind == KEY_RS256)
        return (ret->public = rsa_public(value, arena)) != NULL;
    if (ret->kind == KEY_ES256)
        return (ret->public = p256_public(value, arena)) != NULL;
    if (json_string_is(type, "oct") && get_coded(value, "k", arena, &secret) && secret.size >= SECRET_MIN &&
        secret.size <= SECRET_MAX) {
        memcpy(ret->secret, secret.data, secret.size);
        ret->secret_size = secret.size;
    }
    if (secret.data)
        OPENSSL_cleanse(secret.data, secret.size);
    buf_free(&secret);
    return ret->secret_size > 0;
}

cairn_err
sasl_keys_new(cairn_str jwks, struct sasl_keys **ret, cairn_error *error)
{
    struct arena arena = {.size_max = 2 * SASL_KEYS_FILE_MAX};
    struct json root, value, name;
    struct sasl_keys *keys = NULL;
    cairn_err err = CAIRN_OK;
    if (jwks.size > SASL_KEYS_FILE_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the key set is %zu bytes; the limit is %u", jwks.size, SASL_KEYS_FILE_MAX);
    if ((err = json_check(jwks, &root, error)) != CAIRN_OK)
        return err;
    struct json list = json_get(root, "keys");
    if (list.type != JSON_ARRAY)
        return error_set(error, CAIRN_E_INVALID, "a key set is a JSON object with an array \"keys\"");
    keys = calloc(1, sizeof *keys);
    if (!keys)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    for (struct json_walk walk = json_walk(list); err == CAIRN_OK && json_next(&walk, &name, &value);) {
        struct key key;
        if (value.type != JSON_OBJECT || !read_key(value, &arena, &key))
            continue;
        if (keys->count == SASL_KEYS_MAX) {
            EVP_PKEY_free(key.public);
            err = error_set(error, CAIRN_E_LIMIT, "the key set has more than %d keys", SASL_KEYS_MAX);
        } else
            keys->keys[keys->count++] = key;
        OPENSSL_cleanse(key.secret, sizeof key.secret);
    }
    if (err == CAIRN_OK && keys->count == 0)
        err = error_set(error, CAIRN_E_INVALID, "the key set has no key for signatures: RSA, EC P-256, or oct of 32 bytes");
    arena_free(&arena);
    if (err != CAIRN_OK) {
        sasl_keys_free(keys);
        return err;
    }
    *ret = keys;
    return CAIRN_OK;
}

void
sasl_keys_free(struct sasl_keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++)
        EVP_PKEY_free(keys->keys[i].public);
    OPENSSL_cleanse(keys, sizeof *keys);
    free(keys);
}

/* ---- signatures ---------------------------------------------------------------------------------------------------------- */

/* RFC 7518 §3.4 has r ‖ s, OpenSSL wants them in DER. */
static bool
ecdsa_der(cairn_str signature, unsigned char **ret, size_t *ret_size)
{
    if (signature.size != 64)
        return false;
    BIGNUM *r = BN_bin2bn((const unsigned char *)signature.data, 32, NULL);
    BIGNUM *s = BN_bin2bn((const unsigned char *)signature.data + 32, 32, NULL);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    if (!r || !s || !pair || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(pair);
        return false;
    }
    *ret = NULL;
    int size = i2d_ECDSA_SIG(pair, ret);
    ECDSA_SIG_free(pair);
    *ret_size = size > 0 ? (size_t)size : 0;
    return size > 0;
}

static bool
signature_holds(const struct key *key, cairn_str signed_text, cairn_str signature)
{
    uint8_t mac[64];
    unsigned char *der = NULL;
    const unsigned char *bytes = (const unsigned char *)signature.data;
    size_t size = signature.size;
    if (key->kind == KEY_HS256)
        return signature.size == 32 &&
               sasl_hmac(SASL_SCRAM_SHA_256, (cairn_str){(const char *)key->secret, key->secret_size}, signed_text, mac) &&
               CRYPTO_memcmp(mac, signature.data, 32) == 0;
    if (key->kind == KEY_ES256) {
        if (!ecdsa_der(signature, &der, &size))
            return false;
        bytes = der;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool holds = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->public) == 1 &&
                 EVP_DigestVerify(context, bytes, size, (const unsigned char *)signed_text.data, signed_text.size) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    return holds;
}

static bool
any_key_holds(const struct sasl_keys *keys, struct json alg, cairn_str id, cairn_str signed_text, cairn_str signature)
{
    for (size_t i = 0; i < keys->count; i++) {
        const struct key *key = &keys->keys[i];
        if (!json_string_is(alg, algorithms[key->kind]))
            continue;
        if (id.data && key->has_id && !cairn_str_equal(id, cairn_cstr(key->id)))
            continue;
        if (signature_holds(key, signed_text, signature))
            return true;
    }
    return false;
}

/* ---- claims -------------------------------------------------------------------------------------------------------------- */

/* NumericDate (RFC 7519 §2): seconds, which may have a fraction. */
static bool
get_date(struct json claims, const char *name, bool *ret_there, int64_t *ret)
{
    double seconds;
    struct json value = json_get(claims, name);
    *ret_there = value.type != JSON_NONE;
    if (!*ret_there)
        return true;
    if (!json_double(value, &seconds) || !(seconds >= 0 && seconds < 1e13))
        return false;
    *ret = (int64_t)seconds;
    return true;
}

static bool
names(struct json value, cairn_str wanted, struct arena *arena)
{
    struct json item, name;
    if (value.type == JSON_STRING) {
        cairn_str text = json_string(value, arena);
        return text.data && cairn_str_equal(text, wanted);
    }
    if (value.type == JSON_ARRAY)
        for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item);)
            if (item.type == JSON_STRING && names(item, wanted, arena))
                return true;
    return false;
}

static const char *
check_claims(const struct sasl_token_rules *rules, struct json claims, int64_t now_s, struct arena *arena,
             struct sasl_claims *ret)
{
    bool there;
    int64_t expires, at, leeway = rules->leeway_s;
    if (!get_date(claims, "exp", &there, &expires) || !there)
        return "The token has no time of expiry.";
    if (now_s - leeway >= expires)
        return "The token has expired.";
    if (!get_date(claims, "nbf", &there, &at) || (there && at > now_s + leeway))
        return "The token is not valid yet.";
    if (!get_date(claims, "iat", &there, &at) || (there && at > now_s + leeway))
        return "The token was issued in the future.";
    if (rules->issuer.size && !names(json_get(claims, "iss"), rules->issuer, arena))
        return "The token is of another issuer.";
    if (rules->audience.size && !names(json_get(claims, "aud"), rules->audience, arena))
        return "The token is for somebody else.";
    cairn_str subject = json_string(json_get(claims, "sub"), arena);
    if (!subject.data || !sasl_name_valid(subject))
        return "The token has no subject.";
    memcpy(ret->subject, subject.data, subject.size);
    ret->subject[subject.size] = '\0';
    ret->expires_s = expires;
    return NULL;
}

const char *
sasl_token_check(const struct sasl_token_rules *rules, cairn_str token, int64_t now_s, struct sasl_claims *ret)
{
    struct arena arena = {.size_max = 8 * SASL_TOKEN_MAX};
    struct buf head = {0}, body = {0}, signature = {0};
    cairn_str rest = token, first, second;
    struct json header, claims;
    const char *wrong = "The token is malformed.";
    if (!rules->keys)
        return "There are no keys to check tokens with.";
    if (token.size > SASL_TOKEN_MAX)
        return "The token is too long.";
    if (!sasl_cut(&rest, '.', &first) || !sasl_cut(&rest, '.', &second) || rest.size == 0 || !base64_get(&head, first) ||
        !base64_get(&body, second) || !base64_get(&signature, rest) || signature.size > SIGNATURE_MAX)
        goto done;
    if (json_check(buf_str(&head), &header, NULL) != CAIRN_OK || header.type != JSON_OBJECT)
        goto done;
    if (json_get(header, "crit").type != JSON_NONE) { /* RFC 7515 §4.1.11 */
        wrong = "The token asks for what is not supported.";
        goto done;
    }
    wrong = "The token's signature fits none of the keys.";
    if (!any_key_holds(rules->keys, json_get(header, "alg"), json_string(json_get(header, "kid"), &arena),
                       (cairn_str){token.data, first.size + 1 + second.size}, buf_str(&signature)))
        goto done;
    wrong = "The token is malformed.";
    if (json_check(buf_str(&body), &claims, NULL) != CAIRN_OK || claims.type != JSON_OBJECT)
        goto done;
    wrong = check_claims(rules, claims, now_s, &arena, ret);
done:
    buf_free(&head);
    buf_free(&body);
    buf_free(&signature);
    arena_free(&arena);
    return wrong;
}

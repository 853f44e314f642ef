/* proto/kafka/sasl.h: who is there: the server's side of SASL (RFC 4422), without the wire.
 *
 *   PLAIN (RFC 4616)   SCRAM-SHA-256 and -512 (RFC 5802, 7677)   OAUTHBEARER (RFC 7628) with JWTs (RFC 7519) and a fixed key set
 *
 * An exchange is a state machine that is fed the client's messages; it reads no clock, no randomness and no file: these are
 * handed in. Passwords are never kept: of each there is what SCRAM keeps (salt, iterations, stored key, server key), and
 * PLAIN is checked against the same. An unknown user costs the same work as a known one and gets a salt that is always the
 * same for that name, so that nobody learns from an answer who is known; secrets are compared in constant time.
 *
 * Threads: users and keys are shared by all; an exchange belongs to one thread at a time. sasl_step() may compute for some
 * milliseconds (PLAIN derives a key), so it is better not run on a loop. */
#ifndef PROTO_KAFKA_SASL_H
#define PROTO_KAFKA_SASL_H

#include <base/bytes.h>

enum sasl_mechanism { SASL_PLAIN, SASL_SCRAM_SHA_256, SASL_SCRAM_SHA_512, SASL_OAUTHBEARER };
#define SASL_MECHANISMS 4
#define SASL_BIT(mechanism) (1u << (mechanism))
const char *sasl_name(enum sasl_mechanism mechanism); /* "SCRAM-SHA-256" */
/* Names separated by commas or spaces → bits. False: one is unknown. */
bool sasl_parse_mechanisms(cairn_str names, unsigned *ret_bits);
bool sasl_find(cairn_str name, enum sasl_mechanism *ret);

/* ---- users --------------------------------------------------------------------------------------------------------------- */

#define SASL_NAME_MAX 255
#define SASL_PASSWORD_MAX 1024
#define SASL_SALT_MAX 64
#define SASL_ITERATIONS_MIN 4096u
#define SASL_ITERATIONS_MAX 16384u   /* as Kafka: a client's processor is what it costs */
#define SASL_ITERATIONS 4096u        /* of what is derived here, and of users that do not exist */
#define SASL_USERS_MAX 100000u
#define SASL_FILE_MAX (16u << 20)

struct sasl_credential {
    uint32_t iterations; /* 0: there is none */
    uint8_t salt[SASL_SALT_MAX], stored[64], server[64];
    uint8_t salt_size;
};
/* Derive what is kept of a password. SCRAM only. False: out of memory. */
CAIRN_MUST_CHECK bool sasl_derive(enum sasl_mechanism mechanism, cairn_str password, cairn_str salt, uint32_t iterations,
                                  struct sasl_credential *ret);
/* The same from the salted password, which clients compute themselves for AlterUserScramCredentials. */
CAIRN_MUST_CHECK bool sasl_derive_salted(enum sasl_mechanism mechanism, cairn_str salted, cairn_str salt, uint32_t iterations,
                                         struct sasl_credential *ret);

struct sasl_users;
/* secret: 32 random bytes that stay the same for this store; salts of users that do not exist come from them. */
CAIRN_MUST_CHECK cairn_err sasl_users_new(const uint8_t secret[32], struct sasl_users **ret, cairn_error *error);
void sasl_users_free(struct sasl_users *users);
/* A user's credential of one mechanism; iterations 0 takes it away. `fixed`: from the file, which sasl_users_put() without it
 * does not change (CAIRN_E_READONLY). CAIRN_E_INVALID: the name; CAIRN_E_LIMIT: too many users. */
CAIRN_MUST_CHECK cairn_err sasl_users_put(struct sasl_users *users, cairn_str name, enum sasl_mechanism mechanism,
                                          const struct sasl_credential *credential, bool fixed, cairn_error *error);
bool sasl_users_get(struct sasl_users *users, cairn_str name, enum sasl_mechanism mechanism, struct sasl_credential *ret);
bool sasl_users_is_fixed(struct sasl_users *users, cairn_str name);
bool sasl_users_has_room(struct sasl_users *users, cairn_str name); /* it is there already, or another may be added */
/* Every user, in no order; iterations by SCRAM-SHA-256 and -512 (0: none). Do not call users from it. */
typedef bool (*sasl_user_visit)(void *context, cairn_str name, const uint32_t iterations[2]);
void sasl_users_each(struct sasl_users *users, sasl_user_visit visit, void *context);
/* Lines of `name:password` or `name:SCRAM-SHA-256:iterations:salt:stored:server` (base64); empty ones and those that begin with
 * '#' are passed over. A password's own salt comes from the users' secret. mechanisms: bits of those in use: only their keys are
 * derived. All lines or none. CAIRN_E_INVALID: which line, and what is wrong with it. */
CAIRN_MUST_CHECK cairn_err sasl_users_load(struct sasl_users *users, cairn_str text, unsigned mechanisms, cairn_error *error);

/* ---- tokens -------------------------------------------------------------------------------------------------------------- */

#define SASL_KEYS_MAX 64
#define SASL_KEYS_FILE_MAX (1u << 20)
#define SASL_TOKEN_MAX 16384u

struct sasl_keys;
/* A JSON Web Key Set (RFC 7517): RSA of 2,048 bits and more, EC P-256, oct of 32 bytes and more. Keys of other kinds, or for
 * encryption, are passed over; none left: CAIRN_E_INVALID. */
CAIRN_MUST_CHECK cairn_err sasl_keys_new(cairn_str jwks, struct sasl_keys **ret, cairn_error *error);
void sasl_keys_free(struct sasl_keys *keys);

struct sasl_claims {
    char subject[SASL_NAME_MAX + 1];
    int64_t expires_s;
};
struct sasl_token_rules {
    const struct sasl_keys *keys;
    cairn_str issuer, audience; /* empty: any */
    uint32_t leeway_s;          /* for clocks that differ */
};
/* Check a JWT: RS256, ES256 or HS256 by a key of the set; exp and sub it must have; nbf, iat, iss and aud are held to when there
 * are any (iss and aud must be there when the rules name one). NULL, or what is wrong (static). */
const char *sasl_token_check(const struct sasl_token_rules *rules, cairn_str token, int64_t now_s, struct sasl_claims *ret);

/* ---- an exchange --------------------------------------------------------------------------------------------------------- */

#define SASL_MESSAGE_MAX 65536u
#define SASL_NONCE_BYTES 24

struct sasl_rules {
    unsigned mechanisms; /* bits */
    struct sasl_users *users;
    struct sasl_token_rules tokens;
};

enum sasl_answer {
    SASL_MORE,   /* the reply is a challenge */
    SASL_DONE,   /* authenticated: exchange->user */
    SASL_REFUSED /* reason says why in a sentence that tells a stranger nothing */
};

struct sasl_exchange {
    enum sasl_mechanism mechanism;
    enum { SASL_FIRST, SASL_FINAL, SASL_BAD_TOKEN, SASL_OVER } state;
    char user[SASL_NAME_MAX + 1];
    int64_t expires_s;        /* of a token; 0: never */
    const char *reason;       /* static */
    char nonce[33];           /* ours, printable */
    bool known;
    struct sasl_credential credential;
    struct buf first;         /* SCRAM: client-first-bare ‖ "," ‖ server-first */
    struct buf gs2, combined; /* what "c=" must be, base64; both nonces */
};
/* Begin. nonce: fresh random bytes. The exchange needs sasl_end() afterwards, whatever comes of it. */
void sasl_begin(struct sasl_exchange *exchange, enum sasl_mechanism mechanism, const uint8_t nonce[SASL_NONCE_BYTES]);
enum sasl_answer sasl_step(struct sasl_exchange *exchange, const struct sasl_rules *rules, cairn_str message, int64_t now_s,
                           struct buf *reply);
void sasl_end(struct sasl_exchange *exchange);

#endif

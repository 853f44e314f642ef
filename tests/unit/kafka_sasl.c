/* SASL as a server: the vectors of RFC 7677 §3 and RFC 7515 appendix A, a client of our own for what they leave out, and what
 * must be refused. */
#include "test.h"

#include <base/text.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <proto/kafka/sasl_int.h>

static const uint8_t secret[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static const uint8_t random_bytes[SASL_NONCE_BYTES] = {9, 8, 7};

static struct sasl_users *
users_of(const char *text, unsigned mechanisms)
{
    struct sasl_users *users;
    cairn_error error = {0};
    CHECK_OK(sasl_users_new(secret, &users, &error));
    cairn_err err = sasl_users_load(users, cairn_cstr(text), mechanisms, &error);
    if (err != CAIRN_OK)
        fail_msg("%s", error.detail);
    return users;
}

/* What one message is answered with; the text stays until the next. */
static enum sasl_answer
step(struct sasl_exchange *exchange, const struct sasl_rules *rules, cairn_str message, char reply[1024])
{
    struct buf to = {0};
    enum sasl_answer answer = sasl_step(exchange, rules, message, 1000, &to);
    CHECK(to.size < 1024 && !to.failed);
    memcpy(reply, to.data ? to.data : "", to.size);
    reply[to.size] = '\0';
    buf_free(&to);
    if (answer == SASL_REFUSED)
        CHECK(exchange->reason && exchange->reason[0]);
    return answer;
}

/* Goal: SCRAM-SHA-256 is RFC 7677's. Method: its example, §3, message by message. */
TEST(scram_example_of_the_rfc)
{
    struct sasl_rules rules = {SASL_BIT(SASL_SCRAM_SHA_256), NULL, {0}};
    struct sasl_exchange exchange;
    struct sasl_credential credential;
    struct buf salt = {0};
    char reply[1024];
    rules.users = users_of("", 0);
    CHECK(base64_get(&salt, CAIRN_STR("W22ZaJ0SNY7soEsUEjb6gQ==")));
    CHECK(sasl_derive(SASL_SCRAM_SHA_256, CAIRN_STR("pencil"), buf_str(&salt), 4096, &credential));
    CHECK_OK(sasl_users_put(rules.users, CAIRN_STR("user"), SASL_SCRAM_SHA_256, &credential, false, NULL));
    sasl_begin(&exchange, SASL_SCRAM_SHA_256, random_bytes);
    strcpy(exchange.nonce, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    CHECK_INT(step(&exchange, &rules, CAIRN_STR("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), reply), SASL_MORE);
    CHECK_STR(reply, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    CHECK_INT(step(&exchange, &rules,
                   CAIRN_STR("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                             "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
                   reply),
              SASL_DONE);
    CHECK_STR(reply, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    CHECK_STR(exchange.user, "user");
    sasl_end(&exchange);
    sasl_users_free(rules.users);
    buf_free(&salt);
}

/* ---- a client ------------------------------------------------------------------------------------------------------------ */

static const EVP_MD *
md(enum sasl_mechanism mechanism)
{
    return mechanism == SASL_SCRAM_SHA_512 ? EVP_sha512() : EVP_sha256();
}

/* librdkafka before 2.2 sends its nonce twice. */
static bool nonce_twice;

/* The client's proof for a server-first, written from RFC 5802 §3 alone; also the signature that it expects. */
static void
client_final(enum sasl_mechanism mechanism, const char *bare, const char *server_first, const char *password,
             char final[1024], char expected[256])
{
    char nonce[512], salt[128], message[2048];
    unsigned iterations, size = (unsigned)EVP_MD_size(md(mechanism)), n;
    uint8_t salted[64], client[64], stored[64], server[64], signature[64], proof[64];
    struct buf bytes = {0}, text = {0};
    CHECK_INT(sscanf(server_first, "r=%255[^,],s=%127[^,],i=%u", nonce, salt, &iterations), 3);
    if (nonce_twice) {
        char whole[256];
        strcpy(whole, nonce);
        snprintf(nonce, sizeof nonce, "abc%s", whole);
    }
    CHECK(base64_get(&bytes, cairn_cstr(salt)));
    CHECK(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), (const uint8_t *)bytes.data, (int)bytes.size, (int)iterations,
                            md(mechanism), (int)size, salted));
    HMAC(md(mechanism), salted, (int)size, (const uint8_t *)"Client Key", 10, client, &n);
    EVP_Digest(client, size, stored, NULL, md(mechanism), NULL);
    HMAC(md(mechanism), salted, (int)size, (const uint8_t *)"Server Key", 10, server, &n);
    snprintf(message, sizeof message, "%s,%s,c=biws,r=%s", bare, server_first, nonce);
    HMAC(md(mechanism), stored, (int)size, (const uint8_t *)message, strlen(message), signature, &n);
    for (unsigned i = 0; i < size; i++)
        proof[i] = client[i] ^ signature[i];
    base64_put(&text, (cairn_str){(const char *)proof, size});
    snprintf(final, 1024, "c=biws,r=%s,p=%.*s", nonce, (int)text.size, text.data);
    HMAC(md(mechanism), server, (int)size, (const uint8_t *)message, strlen(message), signature, &n);
    buf_clear(&text);
    base64_put(&text, (cairn_str){(const char *)signature, size});
    snprintf(expected, 256, "v=%.*s", (int)text.size, text.data);
    buf_free(&bytes);
    buf_free(&text);
}

static enum sasl_answer
scram(const struct sasl_rules *rules, enum sasl_mechanism mechanism, const char *name, const char *password,
      char server_first[1024])
{
    struct sasl_exchange exchange;
    char bare[300], message[320], final[1024], expected[256], reply[1024];
    sasl_begin(&exchange, mechanism, random_bytes);
    snprintf(bare, sizeof bare, "n=%s,r=abc", name);
    snprintf(message, sizeof message, "n,,%s", bare);
    CHECK_INT(step(&exchange, rules, cairn_cstr(message), server_first), SASL_MORE);
    client_final(mechanism, bare, server_first, password, final, expected);
    enum sasl_answer answer = step(&exchange, rules, cairn_cstr(final), reply);
    if (answer == SASL_DONE)
        CHECK_STR(reply, expected);
    else
        CHECK_STR(reply, "");
    sasl_end(&exchange);
    return answer;
}

/* Goal: who knows the password comes in by either hash, nobody else does, and a stranger's name looks like a known one. */
TEST(scram_right_wrong_unknown)
{
    char one[1024], again[1024];
    struct sasl_rules rules = {0};
    rules.users = users_of("ann:secret\n# nobody\n\nbob,=:p:w\r\n", SASL_BIT(SASL_SCRAM_SHA_256) | SASL_BIT(SASL_SCRAM_SHA_512));
    for (enum sasl_mechanism m = SASL_SCRAM_SHA_256; m <= SASL_SCRAM_SHA_512; m++) {
        CHECK_INT(scram(&rules, m, "ann", "secret", one), SASL_DONE);
        CHECK_INT(scram(&rules, m, "ann", "secres", one), SASL_REFUSED);
        nonce_twice = true;
        CHECK_INT(scram(&rules, m, "ann", "secret", one), SASL_DONE);
        CHECK_INT(scram(&rules, m, "ann", "secres", one), SASL_REFUSED);
        nonce_twice = false;
        CHECK_INT(scram(&rules, m, "bob=2C=3D", "p:w", one), SASL_DONE);
        CHECK_INT(scram(&rules, m, "eve", "secret", one), SASL_REFUSED);
        CHECK_INT(scram(&rules, m, "eve", "other", again), SASL_REFUSED);
        CHECK_STR(one, again); /* the same salt each time */
        CHECK(strstr(one, ",i=4096") != NULL);
        scram(&rules, m, "eva", "other", again);
        CHECK(strcmp(one, again) != 0);
        scram(&rules, m, "ann", "secret", again);
        CHECK_INT(strlen(one), strlen(again));
    }
    sasl_users_free(rules.users);
}

/* Goal: what is not SCRAM is refused, and the exchange is over then. */
TEST(scram_malformed)
{
    static const char *const firsts[] = {"", "n", "n,", "n,,", "p=tls-unique,,n=ann,r=a", "x,,n=ann,r=a", "n,,m=1,n=ann,r=a",
                                         "n,,n=,r=a", "n,,n=ann", "n,,n=ann,r=", "n,,n=a=nn,r=x", "n,,n=a=2",
                                         "n,a=bob,n=ann,r=x", "n,,n=a\x01,r=x", "n,,n=\xff,r=x", "n,,n=ann,r=\x80"};
    static const char *const finals[] = {"", "c=biws", "c=biws,r=abcX", "c=biws,r=%s", "c=eSws,r=%s,p=AAAA", "c=biws,r=%s,p=",
                                         "c=biws,r=%s,p=AAAA", "c=biws,r=%s,m=x,p=AAAA", "c=biws,r=%s,p=AAAA,x=y",
                                         "r=%s,c=biws,p=AAAA", "c=biws,r=%s,p=!!!!"};
    struct sasl_rules rules = {0};
    struct sasl_exchange exchange;
    char reply[1024], message[1024], nonce[256];
    rules.users = users_of("ann:secret", SASL_BIT(SASL_SCRAM_SHA_256));
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        sasl_begin(&exchange, SASL_SCRAM_SHA_256, random_bytes);
        CHECK_INT(step(&exchange, &rules, cairn_cstr(firsts[i]), reply), SASL_REFUSED);
        CHECK_INT(step(&exchange, &rules, CAIRN_STR("n,,n=ann,r=abc"), reply), SASL_REFUSED);
        sasl_end(&exchange);
    }
    for (size_t i = 0; i < sizeof finals / sizeof *finals; i++) {
        sasl_begin(&exchange, SASL_SCRAM_SHA_256, random_bytes);
        CHECK_INT(step(&exchange, &rules, CAIRN_STR("n,,n=ann,r=abc"), reply), SASL_MORE);
        CHECK_INT(sscanf(reply, "r=%255[^,]", nonce), 1);
        snprintf(message, sizeof message, finals[i], nonce);
        CHECK_INT(step(&exchange, &rules, cairn_cstr(message), reply), SASL_REFUSED);
        sasl_end(&exchange);
    }
    sasl_users_free(rules.users);
}

/* ---- PLAIN --------------------------------------------------------------------------------------------------------------- */

TEST(plain)
{
    static const struct {
        cairn_str message;
        enum sasl_answer answer;
    } cases[] = {
        {CAIRN_STR("\0ann\0secret"), SASL_DONE},       {CAIRN_STR("ann\0ann\0secret"), SASL_DONE},
        {CAIRN_STR("bob\0ann\0secret"), SASL_REFUSED}, {CAIRN_STR("\0ann\0secre"), SASL_REFUSED},
        {CAIRN_STR("\0ann\0secret\0"), SASL_REFUSED},  {CAIRN_STR("\0eve\0secret"), SASL_REFUSED},
        {CAIRN_STR("\0ann\0"), SASL_REFUSED},          {CAIRN_STR("ann\0secret"), SASL_REFUSED},
        {CAIRN_STR(""), SASL_REFUSED},                 {CAIRN_STR("\0\0secret"), SASL_REFUSED},
    };
    struct sasl_rules rules = {0};
    char reply[1024];
    rules.users = users_of("ann:secret", SASL_BIT(SASL_PLAIN));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sasl_exchange exchange;
        sasl_begin(&exchange, SASL_PLAIN, random_bytes);
        CHECK_INT(step(&exchange, &rules, cases[i].message, reply), cases[i].answer);
        CHECK_STR(reply, "");
        if (cases[i].answer == SASL_DONE)
            CHECK_STR(exchange.user, "ann");
        sasl_end(&exchange);
    }
    sasl_users_free(rules.users);
}

/* ---- users --------------------------------------------------------------------------------------------------------------- */

TEST(users_file)
{
    static const struct {
        const char *text;
        unsigned line;
    } bad[] = {{"ann", 1},
               {"ann:x\n:x", 2},
               {"ann:", 1},
               {"ann:SCRAM-SHA-256:4095:AAAA:AAAA:AAAA", 1},
               {"ann:SCRAM-SHA-256:4096:AAAA", 1},
               {"ann:SCRAM-SHA-256:4096:AAAA:AAAA:AAAA", 1},
               {"ann:OAUTHBEARER:4096:AAAA:AAAA:AAAA", 1}};
    struct sasl_users *users;
    cairn_error error;
    struct sasl_credential got;
    /* of RFC 7677's example */
    const char *line = "user:SCRAM-SHA-256:4096:W22ZaJ0SNY7soEsUEjb6gQ==:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                       "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    CHECK_OK(sasl_users_new(secret, &users, NULL));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char begin[16];
        CHECK_INT(sasl_users_load(users, cairn_cstr(bad[i].text), 15, &error), CAIRN_E_INVALID);
        snprintf(begin, sizeof begin, "line %u: ", bad[i].line);
        CHECK(strncmp(error.detail, begin, strlen(begin)) == 0);
        CHECK(!sasl_users_get(users, CAIRN_STR("ann"), SASL_SCRAM_SHA_256, &got)); /* all or none */
    }
    CHECK_OK(sasl_users_load(users, cairn_cstr(line), 0, &error));
    struct sasl_rules rules = {.users = users};
    char first[1024];
    CHECK_INT(scram(&rules, SASL_SCRAM_SHA_256, "user", "pencil", first), SASL_DONE);
    CHECK_INT(sasl_users_put(users, CAIRN_STR("user"), SASL_SCRAM_SHA_256, &(struct sasl_credential){0}, false, NULL),
              CAIRN_E_READONLY);
    sasl_users_free(users);
}

static bool
count_users(void *context, cairn_str name, const uint32_t iterations[2])
{
    CHECK(name.size > 0 && iterations[0] == 5000 && iterations[1] == 0);
    ++*(unsigned *)context;
    return true;
}

TEST(users_come_and_go)
{
    struct sasl_users *users;
    struct sasl_credential credential = {.iterations = 5000, .salt_size = 1}, none = {0}, got;
    char name[16];
    unsigned count = 0;
    CHECK_OK(sasl_users_new(secret, &users, NULL));
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "user%d", i);
        CHECK_OK(sasl_users_put(users, cairn_cstr(name), SASL_SCRAM_SHA_256, &credential, false, NULL));
    }
    for (int i = 0; i < 1000; i += 2) {
        snprintf(name, sizeof name, "user%d", i);
        CHECK_OK(sasl_users_put(users, cairn_cstr(name), SASL_SCRAM_SHA_256, &none, false, NULL));
    }
    sasl_users_each(users, count_users, &count);
    CHECK_INT(count, 500);
    CHECK(!sasl_users_get(users, CAIRN_STR("user0"), SASL_SCRAM_SHA_256, &got));
    CHECK(sasl_users_get(users, CAIRN_STR("user1"), SASL_SCRAM_SHA_256, &got));
    CHECK(!sasl_users_get(users, CAIRN_STR("user1"), SASL_SCRAM_SHA_512, &got));
    CHECK_INT(sasl_users_put(users, CAIRN_STR(""), SASL_SCRAM_SHA_256, &credential, false, NULL), CAIRN_E_INVALID);
    sasl_users_free(users);
}

/* ---- tokens -------------------------------------------------------------------------------------------------------------- */

/* RFC 7515, appendix A.1, A.2, A.3: they say who issued them and when they expire, but have no subject. */
static const char example_keys[] =
    "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"},"
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
    "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-"
    "yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2Cap"
    "Hg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\","
    "\"e\":\"AQAB\"}]}";
#define EXAMPLE_BODY "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
static const char *const examples[] = {
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." EXAMPLE_BODY ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "eyJhbGciOiJSUzI1NiJ9." EXAMPLE_BODY ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt"
    "_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN93"
    "83LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Io"
    "ypGlUPQGe77Rw",
    "eyJhbGciOiJFUzI1NiJ9." EXAMPLE_BODY ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"};

/* Goal: each signature holds, and no longer when a bit of the token is another. Method: what is said of a token whose signature
 * holds is that it has no subject. */
TEST(token_examples_of_the_rfc)
{
    struct sasl_keys *keys;
    struct sasl_claims claims;
    CHECK_OK(sasl_keys_new(cairn_cstr(example_keys), &keys, NULL));
    struct sasl_token_rules rules = {.keys = keys};
    for (size_t i = 0; i < 3; i++) {
        char token[1024];
        strcpy(token, examples[i]);
        CHECK_STR(sasl_token_check(&rules, cairn_cstr(token), 1300819379, &claims), "The token has no subject.");
        CHECK_STR(sasl_token_check(&rules, cairn_cstr(token), 1300819380, &claims), "The token has expired.");
        rules.leeway_s = 30;
        CHECK_STR(sasl_token_check(&rules, cairn_cstr(token), 1300819380, &claims), "The token has no subject.");
        rules.leeway_s = 0;
        rules.issuer = CAIRN_STR("joe");
        CHECK_STR(sasl_token_check(&rules, cairn_cstr(token), 1300819379, &claims), "The token has no subject.");
        rules.issuer = CAIRN_STR("jim");
        CHECK_STR(sasl_token_check(&rules, cairn_cstr(token), 1300819379, &claims), "The token is of another issuer.");
        rules.issuer = (cairn_str){0};
        for (char *dot = strchr(token, '.'); dot; dot = strchr(dot + 1, '.')) {
            dot[3] ^= 1; /* another letter of the alphabet, or none of it */
            CHECK(sasl_token_check(&rules, cairn_cstr(token), 1300819379, &claims) != NULL);
            CHECK(strcmp(sasl_token_check(&rules, cairn_cstr(token), 1300819379, &claims), "The token has no subject.") != 0);
            dot[3] ^= 1;
        }
    }
    sasl_keys_free(keys);
}

#define HS_KEYS "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k1\",\"k\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\"}]}"

/* A token signed with HS_KEYS' key. */
static void
make_token(const char *header, const char *claims, char to[2048])
{
    struct buf head = {0}, body = {0}, sign = {0}, text = {0};
    uint8_t mac[32];
    unsigned n;
    base64_put(&head, cairn_cstr(header));
    base64_put(&body, cairn_cstr(claims));
    while (head.data[head.size - 1] == '=')
        head.size--;
    while (body.data[body.size - 1] == '=')
        body.size--;
    buf_printf(&text, "%.*s.%.*s", (int)head.size, head.data, (int)body.size, body.data);
    HMAC(EVP_sha256(), "01234567890123456789012345678901", 32, (const uint8_t *)text.data, text.size, mac, &n);
    base64_put(&sign, (cairn_str){(const char *)mac, 32});
    snprintf(to, 2048, "%.*s.%.*s", (int)text.size, text.data, (int)sign.size, sign.data);
    buf_free(&head);
    buf_free(&body);
    buf_free(&sign);
    buf_free(&text);
}

TEST(token_claims)
{
    static const struct {
        const char *header, *claims, *wrong;
    } cases[] = {
        {"{\"alg\":\"HS256\"}", "{\"sub\":\"ann\",\"exp\":1100,\"aud\":\"cairn\"}", NULL},
        {"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{\"sub\":\"ann\",\"exp\":1100.5,\"aud\":[\"x\",\"cairn\"],\"nbf\":900,\"iat\":900}", NULL},
        {"{\"alg\":\"HS256\",\"kid\":\"k2\"}", "{\"sub\":\"ann\",\"exp\":1100,\"aud\":\"cairn\"}", "The token's signature fits none of the keys."},
        {"{\"alg\":\"none\"}", "{\"sub\":\"ann\",\"exp\":1100,\"aud\":\"cairn\"}", "The token's signature fits none of the keys."},
        {"{\"alg\":\"RS256\"}", "{\"sub\":\"ann\",\"exp\":1100,\"aud\":\"cairn\"}", "The token's signature fits none of the keys."},
        {"{\"alg\":\"HS256\",\"crit\":[\"b64\"]}", "{\"sub\":\"ann\",\"exp\":1100}", "The token asks for what is not supported."},
        {"{\"alg\":\"HS256\"}", "{\"sub\":\"ann\",\"exp\":1100,\"aud\":\"x\"}", "The token is for somebody else."},
        {"{\"alg\":\"HS256\"}", "{\"sub\":\"ann\",\"exp\":1100}", "The token is for somebody else."},
        {"{\"alg\":\"HS256\"}", "{\"sub\":\"ann\",\"aud\":\"cairn\"}", "The token has no time of expiry."},
        {"{\"alg\":\"HS256\"}", "{\"sub\":\"ann\",\"exp\":\"1100\",\"aud\":\"cairn\"}", "The token has no time of expiry."},
        {"{\"alg\":\"HS256\"}", "{\"sub\":\"ann\",\"exp\":1000,\"aud\":\"cairn\"}", "The token has expired."},
        {"{\"alg\":\"HS256\"}", "{\"sub\":\"ann\",\"exp\":1100,\"nbf\":1001,\"aud\":\"cairn\"}", "The token is not valid yet."},
        {"{\"alg\":\"HS256\"}", "{\"sub\":\"ann\",\"exp\":1100,\"iat\":1001,\"aud\":\"cairn\"}", "The token was issued in the future."},
        {"{\"alg\":\"HS256\"}", "{\"sub\":\"\",\"exp\":1100,\"aud\":\"cairn\"}", "The token has no subject."},
        {"{\"alg\":\"HS256\"}", "{\"sub\":7,\"exp\":1100,\"aud\":\"cairn\"}", "The token has no subject."},
        {"{\"alg\":\"HS256\"}", "[]", "The token is malformed."},
    };
    struct sasl_keys *keys;
    struct sasl_claims claims;
    CHECK_OK(sasl_keys_new(CAIRN_STR(HS_KEYS), &keys, NULL));
    struct sasl_token_rules rules = {.keys = keys, .audience = CAIRN_STR("cairn")};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char token[2048];
        make_token(cases[i].header, cases[i].claims, token);
        const char *wrong = sasl_token_check(&rules, cairn_cstr(token), 1000, &claims);
        if (!cases[i].wrong) {
            CHECK(wrong == NULL);
            CHECK_STR(claims.subject, "ann");
            CHECK_INT(claims.expires_s, 1100);
        } else
            CHECK_STR(wrong ? wrong : "", cases[i].wrong);
    }
    CHECK_STR(sasl_token_check(&rules, CAIRN_STR("eyJhbGciOiJub25lIn0.e30."), 1000, &claims), "The token is malformed.");
    sasl_keys_free(keys);
}

/* Goal: a public key is no shared secret. Method: a token signed by HMAC with an RSA key's modulus, said to be HS256. */
TEST(token_of_confused_algorithm)
{
    const char *rsa = strstr(example_keys, "{\"kty\":\"RSA\"");
    char set[1024], token[2048];
    struct sasl_keys *keys;
    struct sasl_claims claims;
    snprintf(set, sizeof set, "{\"keys\":[%s", rsa);
    CHECK_OK(sasl_keys_new(cairn_cstr(set), &keys, NULL));
    make_token("{\"alg\":\"HS256\"}", "{\"sub\":\"ann\",\"exp\":1100}", token);
    CHECK_STR(sasl_token_check(&(struct sasl_token_rules){.keys = keys}, cairn_cstr(token), 1000, &claims),
              "The token's signature fits none of the keys.");
    sasl_keys_free(keys);
}

TEST(key_sets)
{
    static const char *const bad[] = {"", "{}", "{\"keys\":1}", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}]}",
                                      "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
                                      "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
                                      /* not on the curve */
                                      "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                                      "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}",
                                      "{\"keys\":[{\"kty\":\"oct\",\"use\":\"enc\",\"k\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\"}]}",
                                      "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\"}]}"};
    struct sasl_keys *keys;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cairn_error error = {0};
        CHECK_INT(sasl_keys_new(cairn_cstr(bad[i]), &keys, &error), CAIRN_E_INVALID);
        CHECK(error.detail[0]);
    }
}

TEST(bearer)
{
    char token[2048], reply[1024], message[4096];
    struct sasl_keys *keys;
    struct sasl_exchange exchange;
    struct sasl_rules rules = {0};
    CHECK_OK(sasl_keys_new(CAIRN_STR(HS_KEYS), &keys, NULL));
    rules.tokens.keys = keys;
    make_token("{\"alg\":\"HS256\"}", "{\"sub\":\"ann\",\"exp\":1100}", token);

    sasl_begin(&exchange, SASL_OAUTHBEARER, random_bytes);
    snprintf(message, sizeof message, "n,a=ann,\1auth=Bearer %s\1traceId=7\1\1", token);
    CHECK_INT(step(&exchange, &rules, cairn_cstr(message), reply), SASL_DONE);
    CHECK_STR(exchange.user, "ann");
    CHECK_INT(exchange.expires_s, 1100);
    sasl_end(&exchange);

    token[strlen(token) - 3] ^= 1;
    snprintf(message, sizeof message, "n,,\1auth=Bearer %s\1\1", token);
    sasl_begin(&exchange, SASL_OAUTHBEARER, random_bytes);
    CHECK_INT(step(&exchange, &rules, cairn_cstr(message), reply), SASL_MORE);
    CHECK_STR(reply, "{\"status\":\"invalid_token\"}");
    CHECK_INT(step(&exchange, &rules, CAIRN_STR("\1"), reply), SASL_REFUSED);
    sasl_end(&exchange);

    static const char *const bad[] = {"", "n,,", "n,,\1\1", "n,,\1auth=Basic x\1\1", "n,,\1auth=Bearer \1\1",
                                      "n,,\1auth=Bearer x\1", "n,,\1auth=Bearer x", "p=x,,\1auth=Bearer x\1\1",
                                      "n,b=x,\1auth=Bearer x\1\1", "n,,\1auth=Bearer x\1auth=Bearer x\1\1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sasl_begin(&exchange, SASL_OAUTHBEARER, random_bytes);
        CHECK_INT(step(&exchange, &rules, cairn_cstr(bad[i]), reply), SASL_REFUSED);
        sasl_end(&exchange);
    }
    sasl_keys_free(keys);
}

TEST(mechanism_names)
{
    unsigned bits;
    CHECK(sasl_parse_mechanisms(CAIRN_STR("PLAIN, scram-sha-512"), &bits));
    CHECK_INT(bits, SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_SCRAM_SHA_512));
    CHECK(sasl_parse_mechanisms(CAIRN_STR(""), &bits) && bits == 0);
    CHECK(!sasl_parse_mechanisms(CAIRN_STR("PLAIN,GSSAPI"), &bits));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(scram_example_of_the_rfc), RUN(scram_right_wrong_unknown), RUN(scram_malformed),
        RUN(plain),                    RUN(users_file),                RUN(users_come_and_go),
        RUN(token_examples_of_the_rfc), RUN(token_claims),             RUN(token_of_confused_algorithm),
        RUN(key_sets),                 RUN(bearer),                    RUN(mechanism_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

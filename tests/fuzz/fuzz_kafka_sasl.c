/* Any bytes as a client's SASL messages. The first byte chooses the mechanism (0 to 3), a users' file (4), a key set (5) or a
 * token (6); messages of an exchange are separated by 0xff.
 *
 * Nobody comes in: the users' passwords and the keys are not in the corpus. What is refused says why. */
#include <proto/kafka/sasl_int.h>

#include <stdio.h>
#include <stdlib.h>

#define MUST(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sasl_users *users;
static struct sasl_keys *keys;

static void
prepare(void)
{
    uint8_t secret[32] = {7};
    struct sasl_credential credential = {.iterations = 4096, .salt_size = 16, .stored = {1, 2, 3}, .server = {4, 5, 6}};
    MUST(sasl_users_new(secret, &users, NULL) == CAIRN_OK);
    MUST(sasl_users_put(users, CAIRN_STR("ann"), SASL_SCRAM_SHA_256, &credential, true, NULL) == CAIRN_OK);
    MUST(sasl_keys_new(CAIRN_STR("{\"keys\":[{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\"}]}"), &keys,
                       NULL) == CAIRN_OK);
}

static void
exchange_of(enum sasl_mechanism mechanism, cairn_str text)
{
    static const uint8_t nonce[SASL_NONCE_BYTES];
    struct sasl_rules rules = {15, users, {.keys = keys}};
    struct sasl_exchange exchange;
    struct buf reply = {0};
    sasl_begin(&exchange, mechanism, nonce);
    for (unsigned i = 0; i < 4; i++) {
        cairn_str message;
        sasl_cut(&text, '\xff', &message);
        buf_clear(&reply);
        enum sasl_answer answer = sasl_step(&exchange, &rules, message, 1000, &reply);
        MUST(answer != SASL_DONE);
        MUST(answer == SASL_MORE ? reply.size > 0 : exchange.reason != NULL && reply.size == 0);
    }
    sasl_end(&exchange);
    buf_free(&reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (!users)
        prepare();
    cairn_str text = {(const char *)data + 1, size - 1};
    cairn_error error = {0};
    if (data[0] < SASL_MECHANISMS)
        exchange_of((enum sasl_mechanism)data[0], text);
    else if (data[0] == 4) {
        struct sasl_users *loaded;
        uint8_t secret[32] = {0};
        MUST(sasl_users_new(secret, &loaded, NULL) == CAIRN_OK);
        MUST(sasl_users_load(loaded, text, 0, &error) == CAIRN_OK || error.detail[0]);
        sasl_users_free(loaded);
    } else if (data[0] == 5) {
        struct sasl_keys *set = NULL;
        MUST(sasl_keys_new(text, &set, &error) == CAIRN_OK || error.detail[0]);
        sasl_keys_free(set);
    } else {
        struct sasl_claims claims;
        MUST(sasl_token_check(&(struct sasl_token_rules){.keys = keys}, text, 1000, &claims) != NULL);
    }
    return 0;
}

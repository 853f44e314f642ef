/* OAUTHBEARER (RFC 7628): the message around a token.
 *
 *   client  n,[a=user],^A auth=Bearer TOKEN ^A [key=value ^A]… ^A      ^A is 0x01
 *   server  nothing: it is good; or {"status":"invalid_token"}, to which the client answers ^A, and is refused then
 *
 * What the server says of a bad token is the same whatever was wrong with it; the reason is for the log. */
#include <proto/kafka/sasl_int.h>

#include <strings.h>

#define BEARER "Bearer "

static bool
take_pair(cairn_str *text, cairn_str *ret_key, cairn_str *ret_value)
{
    cairn_str pair;
    if (!sasl_cut(text, '\1', &pair))
        return false;
    *ret_value = pair;
    return sasl_cut(ret_value, '=', ret_key) && ret_key->size > 0;
}

/* NULL, or what is wrong. */
static const char *
read_message(cairn_str message, cairn_str *ret_authzid, cairn_str *ret_token)
{
    cairn_str flag, authzid, before, key, value, token = {0};
    if (!sasl_cut(&message, '\1', &before) || !sasl_cut(&before, ',', &flag) || !sasl_cut(&before, ',', &authzid) ||
        before.size > 0)
        return "The OAUTHBEARER message is malformed.";
    if (flag.size != 1 || (flag.data[0] != 'n' && flag.data[0] != 'y'))
        return "Channel binding is not supported.";
    if (authzid.size > 0 && (authzid.size < 3 || memcmp(authzid.data, "a=", 2) != 0))
        return "The OAUTHBEARER message is malformed.";
    while (message.size > 0 && message.data[0] != '\1') {
        if (!take_pair(&message, &key, &value))
            return "The OAUTHBEARER message is malformed.";
        if (!cairn_str_equal(key, CAIRN_STR("auth")))
            continue; /* extensions say nothing that is used here */
        if (value.size <= strlen(BEARER) || strncasecmp(value.data, BEARER, strlen(BEARER)) != 0 || token.data)
            return "The OAUTHBEARER message has no bearer token.";
        token = (cairn_str){value.data + strlen(BEARER), value.size - strlen(BEARER)};
    }
    if (message.size != 1 || !token.data)
        return "The OAUTHBEARER message is malformed.";
    *ret_authzid = authzid.size ? (cairn_str){authzid.data + 2, authzid.size - 2} : authzid;
    *ret_token = token;
    return NULL;
}

enum sasl_answer
sasl_bearer_step(struct sasl_exchange *exchange, const struct sasl_rules *rules, cairn_str message, int64_t now_s,
                 struct buf *reply)
{
    struct sasl_claims claims;
    cairn_str authzid, token;
    if (exchange->state == SASL_BAD_TOKEN)
        return sasl_refuse(exchange, exchange->reason);
    const char *wrong = read_message(message, &authzid, &token);
    if (wrong)
        return sasl_refuse(exchange, wrong);
    wrong = sasl_token_check(&rules->tokens, token, now_s, &claims);
    if (!wrong && authzid.size > 0 && !cairn_str_equal(authzid, cairn_cstr(claims.subject)))
        wrong = "Nobody may act in another user's name.";
    if (!wrong && !sasl_set_user(exchange, cairn_cstr(claims.subject)))
        wrong = "The token's subject is no legal name.";
    if (wrong) {
        exchange->state = SASL_BAD_TOKEN;
        exchange->reason = wrong;
        buf_put_str(reply, CAIRN_STR("{\"status\":\"invalid_token\"}"));
        return SASL_MORE;
    }
    exchange->state = SASL_OVER;
    exchange->expires_s = claims.expires_s;
    return SASL_DONE;
}

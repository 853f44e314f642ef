/* SCRAM (RFC 5802), the server's side, without channel binding.
 *
 *   client-first  n,,n=user,r=client          ─► server-first  r=client+server,s=salt,i=iterations
 *   client-final  c=biws,r=client+server,p=…  ─► server-final  v=server's signature
 *
 * The client proves that it knows the password (p), the server that it knows what is kept of it (v); neither says it. */
#include <proto/kafka/sasl_int.h>

#include <base/text.h>
#include <openssl/crypto.h>

#define NONCE_MAX 256u

/* saslname: "=2C" is a comma, "=3D" an equals sign, and no other '=' may be there. Returns the size; 0: malformed. */
static size_t
decode_name(cairn_str coded, char to[SASL_NAME_MAX])
{
    size_t size = 0;
    for (size_t i = 0; i < coded.size; i++) {
        char c = coded.data[i];
        if (size == SASL_NAME_MAX)
            return 0;
        if (c == '=') {
            if (coded.size - i < 3)
                return 0;
            bool comma = memcmp(coded.data + i, "=2C", 3) == 0;
            if (!comma && memcmp(coded.data + i, "=3D", 3) != 0)
                return 0;
            c = comma ? ',' : '=';
            i += 2;
        }
        to[size++] = c;
    }
    return size;
}

static bool
nonce_valid(cairn_str nonce)
{
    if (nonce.size == 0 || nonce.size > NONCE_MAX)
        return false;
    for (size_t i = 0; i < nonce.size; i++)
        if (nonce.data[i] < 0x21 || nonce.data[i] == 0x7f || nonce.data[i] == ',') /* char is signed: not ASCII is below */
            return false;
    return true;
}

/* One attribute "x=value" off the front. */
static bool
take_attribute(cairn_str *text, char name, cairn_str *ret_value)
{
    cairn_str piece;
    sasl_cut(text, ',', &piece);
    if (piece.size < 2 || piece.data[0] != name || piece.data[1] != '=')
        return false;
    *ret_value = (cairn_str){piece.data + 2, piece.size - 2};
    return true;
}

static enum sasl_answer
first(struct sasl_exchange *exchange, const struct sasl_rules *rules, cairn_str message, struct buf *reply)
{
    cairn_str rest = message, flag, authzid, coded, nonce;
    char name[SASL_NAME_MAX], other[SASL_NAME_MAX];
    if (!sasl_cut(&rest, ',', &flag) || !sasl_cut(&rest, ',', &authzid) || flag.size == 0)
        return sasl_refuse(exchange, "The SCRAM message is malformed.");
    if (flag.data[0] == 'p')
        return sasl_refuse(exchange, "Channel binding is not supported.");
    if (flag.size != 1 || (flag.data[0] != 'n' && flag.data[0] != 'y'))
        return sasl_refuse(exchange, "The SCRAM message is malformed.");
    buf_put(&exchange->gs2, message.data, (size_t)(rest.data - message.data));
    buf_put_str(&exchange->first, rest);
    if (!take_attribute(&rest, 'n', &coded) || !take_attribute(&rest, 'r', &nonce) || !nonce_valid(nonce))
        return sasl_refuse(exchange, "The SCRAM message is malformed.");
    size_t name_size = decode_name(coded, name);
    if (!sasl_set_user(exchange, (cairn_str){name, name_size}))
        return sasl_refuse(exchange, "The user's name is malformed.");
    if (authzid.size > 0) {
        size_t size = authzid.size > 2 && memcmp(authzid.data, "a=", 2) == 0
                          ? decode_name((cairn_str){authzid.data + 2, authzid.size - 2}, other)
                          : 0;
        if (size != name_size || memcmp(other, name, size) != 0)
            return sasl_refuse(exchange, "Nobody may act in another user's name.");
    }
    exchange->known = sasl_users_find(rules->users, (cairn_str){name, name_size}, exchange->mechanism, &exchange->credential);
    buf_put_str(&exchange->combined, nonce);
    buf_put_str(&exchange->combined, cairn_cstr(exchange->nonce));
    size_t begun = reply->size;
    buf_printf(reply, "r=%.*s,s=", (int)exchange->combined.size, exchange->combined.failed ? "" : exchange->combined.data);
    base64_put(reply, (cairn_str){(const char *)exchange->credential.salt, exchange->credential.salt_size});
    buf_printf(reply, ",i=%u", exchange->credential.iterations);
    buf_put_char(&exchange->first, ',');
    if (!reply->failed)
        buf_put(&exchange->first, reply->data + begun, reply->size - begun);
    if (reply->failed || exchange->first.failed || exchange->gs2.failed || exchange->combined.failed)
        return sasl_refuse(exchange, "The server is out of memory.");
    exchange->state = SASL_FINAL;
    return SASL_MORE;
}

/* RFC 5802 §3: ClientSignature = HMAC(StoredKey, AuthMessage); ClientKey = proof XOR ClientSignature; H(ClientKey) is StoredKey. */
static bool
proof_holds(const struct sasl_exchange *exchange, cairn_str auth_message, cairn_str proof)
{
    size_t size = sasl_hash_size(exchange->mechanism);
    const struct sasl_credential *kept = &exchange->credential;
    uint8_t signature[64], key[64], hashed[64];
    if (proof.size != size ||
        !sasl_hmac(exchange->mechanism, (cairn_str){(const char *)kept->stored, size}, auth_message, signature))
        return false;
    for (size_t i = 0; i < size; i++)
        key[i] = (uint8_t)proof.data[i] ^ signature[i];
    bool same = sasl_hash(exchange->mechanism, (cairn_str){(const char *)key, size}, hashed) &&
                CRYPTO_memcmp(hashed, kept->stored, size) == 0;
    OPENSSL_cleanse(key, sizeof key);
    return same & exchange->known;
}

/* The client's nonce and ours, as we sent them. librdkafka before 2.2 puts its own before them once more; since ours is in
 * there and the proof covers what it sent, that is as good, and Kafka takes it too. */
static bool
nonce_ours(const struct sasl_exchange *exchange, cairn_str nonce)
{
    size_t size = exchange->combined.size;
    return nonce.size >= size && memcmp(nonce.data + nonce.size - size, exchange->combined.data, size) == 0;
}

static enum sasl_answer
final(struct sasl_exchange *exchange, cairn_str message, struct buf *reply)
{
    cairn_str rest = message, binding, nonce, coded = {0}, piece;
    struct buf bytes = {0}, auth_message = {0};
    enum sasl_answer answer = SASL_REFUSED;
    uint8_t signature[64];
    size_t size = sasl_hash_size(exchange->mechanism), without_proof = 0;

    exchange->reason = "The SCRAM message is malformed.";
    if (!take_attribute(&rest, 'c', &binding) || !take_attribute(&rest, 'r', &nonce))
        goto done;
    while (rest.size > 0 && !coded.data) { /* extensions stand between nonce and proof; the proof is last */
        const char *begin = rest.data;
        sasl_cut(&rest, ',', &piece);
        if (piece.size > 2 && memcmp(piece.data, "p=", 2) == 0) {
            coded = (cairn_str){piece.data + 2, piece.size - 2};
            without_proof = (size_t)(begin - message.data) - 1;
        } else if (piece.size < 2 || piece.data[1] != '=' || piece.data[0] == 'm') /* m: must be understood */
            goto done;
    }
    if (!coded.data || rest.size > 0 || !base64_get(&bytes, binding))
        goto done;
    if (!cairn_str_equal(buf_str(&bytes), buf_str(&exchange->gs2)) || !nonce_ours(exchange, nonce))
        goto done;
    buf_clear(&bytes);
    if (!base64_get(&bytes, coded))
        goto done;
    buf_put_str(&auth_message, buf_str(&exchange->first));
    buf_put_char(&auth_message, ',');
    buf_put(&auth_message, message.data, without_proof);
    exchange->reason = "The server is out of memory.";
    if (bytes.failed || auth_message.failed)
        goto done;
    exchange->reason = "Authentication failed: unknown user or wrong password.";
    if (!proof_holds(exchange, buf_str(&auth_message), buf_str(&bytes)) ||
        !sasl_hmac(exchange->mechanism, (cairn_str){(const char *)exchange->credential.server, size}, buf_str(&auth_message),
                   signature))
        goto done;
    buf_put_str(reply, CAIRN_STR("v="));
    base64_put(reply, (cairn_str){(const char *)signature, size});
    exchange->reason = NULL;
    answer = SASL_DONE;
done:
    exchange->state = SASL_OVER;
    buf_free(&bytes);
    buf_free(&auth_message);
    return answer;
}

enum sasl_answer
sasl_scram_step(struct sasl_exchange *exchange, const struct sasl_rules *rules, cairn_str message, struct buf *reply)
{
    return exchange->state == SASL_FIRST ? first(exchange, rules, message, reply) : final(exchange, message, reply);
}

/* proto/kafka/sasl_int.h: what the files sasl*.c and credentials.c share. */
#ifndef PROTO_KAFKA_SASL_INT_H
#define PROTO_KAFKA_SASL_INT_H

#include <proto/kafka/sasl.h>

static inline enum sasl_answer
sasl_refuse(struct sasl_exchange *exchange, const char *reason)
{
    exchange->state = SASL_OVER;
    exchange->reason = reason;
    return SASL_REFUSED;
}

/* Keep who it is. False: no legal name. */
bool sasl_set_user(struct sasl_exchange *exchange, cairn_str name);
cairn_err sasl_name_refuse(cairn_error *error); /* CAIRN_E_INVALID, and why */
bool sasl_name_valid(cairn_str name); /* 1 to SASL_NAME_MAX bytes of UTF-8, no control characters */
/* Cut at the first `separator`: the piece before it; *text is what follows. False: there is none; the piece is all of it. */
bool sasl_cut(cairn_str *text, char separator, cairn_str *ret_piece);
/* The credential, or one that looks like it and fits nothing. True: it is a real one. */
bool sasl_users_find(struct sasl_users *users, cairn_str name, enum sasl_mechanism mechanism, struct sasl_credential *ret);

/* Hashes of a SCRAM mechanism. */
size_t sasl_hash_size(enum sasl_mechanism mechanism); /* 32 or 64 */
bool sasl_hash(enum sasl_mechanism mechanism, cairn_str bytes, uint8_t ret[64]);
bool sasl_hmac(enum sasl_mechanism mechanism, cairn_str key, cairn_str bytes, uint8_t ret[64]);

enum sasl_answer sasl_scram_step(struct sasl_exchange *exchange, const struct sasl_rules *rules, cairn_str message,
                                 struct buf *reply);
enum sasl_answer sasl_bearer_step(struct sasl_exchange *exchange, const struct sasl_rules *rules, cairn_str message,
                                  int64_t now_s, struct buf *reply);

#endif

/* proto/kafka/calls.h: what the calls need of whoever starts the server: who may log in. */
#ifndef PROTO_KAFKA_CALLS_H
#define PROTO_KAFKA_CALLS_H

#include <cairn/store.h>

struct kafka_sasl;

struct kafka_sasl_options {
    const char *mechanisms;   /* "PLAIN,SCRAM-SHA-512" */
    const char *users_file;   /* kafka.users: see sasl_users_load(); NULL: none but those in the store */
    const char *keys_file;    /* kafka.jwks: a JSON Web Key Set; needed for OAUTHBEARER */
    const char *issuer, *audience; /* what tokens must say; NULL: anything */
    uint32_t leeway_s;        /* (30) for clocks that differ */
    uint32_t session_max_ms;  /* (0: for good) after which a client must log in again (KIP-368) */
};

/* Read the files, and the users that the store knows: events of `$credentials-<user>` (AlterUserScramCredentials). Blocks.
 * CAIRN_E_INVALID, CAIRN_E_NOTFOUND: the detail names file and line. */
CAIRN_MUST_CHECK cairn_err kafka_sasl_new(cairn_store *store, cairn_scope scope, const struct kafka_sasl_options *options,
                                          struct kafka_sasl **ret, cairn_error *error);
void kafka_sasl_free(struct kafka_sasl *sasl); /* NULL is fine */

#endif

/* schema/compat_int.h: the proof that one compiled schema allows no more than another. */
#ifndef SCHEMA_COMPAT_INT_H
#define SCHEMA_COMPAT_INT_H

#include <schema/compat.h>
#include <schema/faults.h>
#include <schema/json_schema_int.h>

#define PROOF_STEPS_MAX 200000
#define PROOF_DEPTH_MAX 100
#define PROOF_CONJUNCTS_MAX 48

/* What is written: all that these nodes say holds at once. None: anything at all. */
struct written {
    const struct js_node *nodes[PROOF_CONJUNCTS_MAX];
    uint8_t split[PROOF_CONJUNCTS_MAX]; /* whose anyOf (1) and oneOf (2) were taken apart */
    size_t count;
    bool overflow; /* there was no room for more: then less is known, which is safe */
};

/* A pair whose proof is under way: met again further inside the value, it may be taken as shown. */
struct proof_pair {
    const struct proof_pair *up;
    const struct written *written;
    const struct js_node *reader;
};

struct proof {
    struct arena *arena;
    struct compat_fault *faults;
    size_t fault_max, fault_count;
    uint32_t version;
    bool newer_reads; /* places are those of the reader; else those of the writer */
    const char *reader_name, *writer_name; /* "the new schema", "version 3" */
    unsigned quiet;
    int64_t steps;
    unsigned depth;
    cairn_err err;
};

/* Whether the reader accepts everything written. Where not, or where it cannot be shown, faults say why. */
bool proof_holds(struct proof *proof, const struct js_node *writer, const struct js_node *reader);

/* compat.c: the same of two whole schemas. CAIRN_E_INVALID: not, or it cannot be shown. */
CAIRN_MUST_CHECK cairn_err compat_reads(const struct json_schema *reader, const struct json_schema *writer,
                                        struct schema_faults *faults, cairn_error *error);

/* compat_object.c: what concerns members. `here` is the nearest node in the newer schema. */
bool prove(struct proof *proof, const struct written *written, const struct js_node *reader,
           const struct js_node *here, const struct proof_pair *up);
bool prove_quietly(struct proof *proof, const struct written *written, const struct js_node *reader,
                   const struct js_node *here, const struct proof_pair *up);
bool prove_object(struct proof *proof, const struct written *written, const struct js_node *reader,
                  const struct js_node *here, const struct proof_pair *up);
void written_add(struct written *written, const struct js_node *node);
/* Always false. */
__attribute__((format(printf, 4, 5))) bool proof_fail(struct proof *proof, const struct js_node *place,
                                                      const char *keyword, const char *format, ...);
const struct js_node *proof_place(const struct proof *proof, const struct js_node *reader, const struct js_node *here);
/* Whether a node holds for a value, as far as that can be computed. */
bool proof_node_holds(struct proof *proof, const struct js_node *node, struct json value);
/* The node that an object's `properties` has for a name, or NULL; whether it is required. */
const struct js_property *proof_property(const struct js_node *node, cairn_str name);
bool proof_requires(const struct written *written, cairn_str name);
/* All that the nodes say about the member of that name. */
void proof_member(struct proof *proof, const struct written *written, cairn_str name, struct written *ret);
#endif

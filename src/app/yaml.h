/* app/yaml.h: a YAML text as a small tree that knows its lines. For app.yaml.
 *
 * What people write by hand: mappings, lists, scalars (YAML 1.2, libfyaml), one document. Anchors, aliases and tags are
 * refused, so that a text never means more than it holds. Bounds: 256 KiB, depth 32, 50,000 nodes, 2,000 members a mapping. */
#ifndef APP_YAML_H
#define APP_YAML_H

#include <base/arena.h>
#include <base/bytes.h>

#define YAML_TEXT_MAX (256 * 1024)

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

/* Everything lies in the arena. Items of a list and members of a mapping hang in their order by `next`. */
struct yaml {
    enum yaml_kind kind;
    bool plain;     /* a scalar without quotes: 5, true and null mean themselves */
    cairn_str text; /* of a scalar */
    uint32_t line;  /* from 1 */
    cairn_str name; /* of a member */
    uint32_t name_line;
    uint32_t first_line; /* of the member before that has the same name, or 0 */
    struct yaml *first, *last, *next;
    size_t count;
};

/* CAIRN_E_INVALID, CAIRN_E_LIMIT: *reterr_line says where (0: the whole text). An empty text is an empty mapping. */
CAIRN_MUST_CHECK cairn_err yaml_read(cairn_str text, struct arena *arena, struct yaml **ret, uint32_t *reterr_line,
                                     cairn_error *error);

/* A member by name (the first of them); NULL when absent, or when it is no mapping. */
struct yaml *yaml_get(const struct yaml *map, const char *name);
/* Nothing was written there, or null. */
bool yaml_is_null(const struct yaml *node);
/* "a mapping", "a list", "text", "a number", "true", "nothing": for messages. */
const char *yaml_kind_name(const struct yaml *node);
/* The tree as JSON (YAML 1.2 core schema: plain null, true, false and numbers are themselves, the rest is text). */
void yaml_put_json(struct buf *to, const struct yaml *node);
/* The line of what a JSON pointer names, or of the nearest thing around it. */
uint32_t yaml_pointer_line(const struct yaml *node, cairn_str pointer);

#endif

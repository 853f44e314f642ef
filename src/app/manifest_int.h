/* app/manifest_int.h: what the files manifest*.c share while one app is read.
 *
 * manifest.c reads app.yaml into the structure; manifest_schema.c makes schemas whole and compiles them; manifest_code.c tries
 * Lua, projections and queries; manifest_fault.c collects what is wrong. Reading goes on after a fault, so a part that has
 * one may be left half filled: it is never handed out. */
#ifndef APP_MANIFEST_INT_H
#define APP_MANIFEST_INT_H

#include <app/manifest.h>
#include <app/yaml.h>

#define MANIFEST_FILE "app.yaml"

/* A file of the app as JSON, looked at when it is first asked for. */
struct manifest_json {
    bool looked_at;
    struct json value; /* JSON_NONE: it is no JSON, and that was told */
    cairn_str id;      /* its "$id", or empty */
};

struct manifest_reader {
    struct app_manifest *manifest;
    cairn_app_fault_visit visit;
    void *context;
    size_t fault_count, wrong_count; /* with warnings; without */
    cairn_error *error;              /* the first that is wrong */
    cairn_err fatal;                 /* out of memory: nothing more is looked at */
    bool *file_used;                 /* beside manifest->files: something names it */
    struct manifest_json *json;      /* beside manifest->files */
    size_t schema_bytes;             /* of all schemas made whole */
    bool schema_wrong;               /* one of them cannot be used */
    bool in_schema, types_only;      /* reading one; nothing else matters */
    struct lua_sources sources;      /* the app's own .lua files */
    struct yaml *root;
    char hint[320];
};

/* ---- manifest_fault.c */

/* What is wrong, or, with `warn`, merely odd. `line` 0: the file as a whole. */
__attribute__((format(printf, 5, 6))) void manifest_fault(struct manifest_reader *reader, cairn_str file, uint32_t line,
                                                          const char *hint, const char *format, ...);
__attribute__((format(printf, 5, 6))) void manifest_warn(struct manifest_reader *reader, cairn_str file, uint32_t line,
                                                         const char *hint, const char *format, ...);
/* The same for app.yaml. */
#define yaml_fault(reader, line, ...) manifest_fault(reader, CAIRN_STR(MANIFEST_FILE), line, __VA_ARGS__)
#define yaml_warn(reader, line, ...) manifest_warn(reader, CAIRN_STR(MANIFEST_FILE), line, __VA_ARGS__)
/* Faults that other rooms find: a cairn_app_fault_visit whose context is the reader. */
void manifest_pass_on(void *context, const cairn_app_fault *fault);
/* Out of memory; returns false, for `return manifest_nomem(reader)`. */
bool manifest_nomem(struct manifest_reader *reader);

/* A formatted hint; lives until the next one. */
__attribute__((format(printf, 2, 3))) const char *manifest_hint(struct manifest_reader *reader, const char *format, ...);
/* "Did you mean …?" when one of the names is near, else `otherwise`. `name_at` gives the index-th name; false past the last. */
typedef bool (*manifest_name_at)(const void *context, size_t index, cairn_str *ret);
const char *manifest_did_you_mean(struct manifest_reader *reader, cairn_str name, manifest_name_at name_at,
                                  const void *context, const char *otherwise);
/* The number of edits (Levenshtein) between two names, at most `max` + 1. */
size_t manifest_distance(cairn_str a, cairn_str b, size_t max);

/* The line of a byte of a text. */
uint32_t manifest_line_at(cairn_str text, size_t offset);
/* The first line that holds the word (letters, digits and _ end it), or 0. */
uint32_t manifest_line_of_word(cairn_str text, cairn_str word);
/* The line in checked JSON text of what a pointer names, or of the nearest thing around it. */
uint32_t manifest_json_line(cairn_str text, cairn_str pointer);

/* ---- manifest.c */

const cairn_app_file *manifest_file(const struct app_manifest *manifest, cairn_str path);
bool manifest_file_name_at(const void *context, size_t index, cairn_str *ret); /* context: the manifest */
/* A file that a scalar of app.yaml names, marked as used; NULL: a fault was told. */
const cairn_app_file *manifest_named_file(struct manifest_reader *reader, const struct yaml *node, const char *what);
bool manifest_event_name_at(const void *context, size_t index, cairn_str *ret); /* context: the manifest */
struct app_event *manifest_event(const struct app_manifest *manifest, cairn_str type);

/* app.yaml and its schemas alone, for their types: whatever else is wrong. Freed with app_manifest_free(). */
CAIRN_MUST_CHECK cairn_err manifest_read_types(const cairn_app_file *files, size_t count, struct app_manifest **ret,
                                               cairn_error *error);

/* The members of a top-level mapping, as zeroed structures of `size` in the arena. *ret NULL: there is none. */
void *manifest_begin_part(struct manifest_reader *reader, const char *name, size_t most, size_t size, const struct yaml **ret);

/* ---- manifest_topics.c */

void manifest_read_topics(struct manifest_reader *reader);

/* ---- manifest_whole.c */

/* The file as JSON; JSON_NONE: it is none, which was told. */
struct json manifest_file_json(struct manifest_reader *reader, const cairn_app_file *file);
/* A schema with every other file of the app that it refers to put under its "$defs", by path, and the references to them made
 * pointers there. Without such references `*ret_text` is `text`. `path` is the schema's own, "app.yaml" for inline ones. */
bool manifest_whole_schema(struct manifest_reader *reader, cairn_str path, cairn_str text, cairn_str *ret_text);
/* A pointer into a whole schema → the file that it came from (empty: the schema's own) and the pointer there. */
cairn_str manifest_whole_place(struct manifest_reader *reader, cairn_str pointer, cairn_str *ret_rest);

/* ---- manifest_schema.c */

/* `schema:` of a command or event: a path or an inline mapping. Sets text, path, compiled schema; false: a fault was told. */
bool manifest_read_schema(struct manifest_reader *reader, const struct yaml *node, const char *what, cairn_str *ret_text,
                          cairn_str *ret_path, struct json_schema **ret_schema);
/* Do the template's members stand in every document that the schema allows? */
void manifest_check_template(struct manifest_reader *reader, const struct yaml *node, cairn_str schema_text,
                             const char *whose);

/* ---- manifest_upcast.c */

void manifest_read_upcasts(struct manifest_reader *reader, const struct yaml *node, struct app_event *event);

/* ---- manifest_code.c */

void manifest_check_deciders(struct manifest_reader *reader);
void manifest_read_projections(struct manifest_reader *reader);
void manifest_read_queries(struct manifest_reader *reader);

/* ---- manifest_keys.c: mappings with a fixed set of members */

enum manifest_want { WANT_TEXT = 1, WANT_WHOLE = 2, WANT_MAP = 4, WANT_LIST = 8, WANT_NOTHING = 16, WANT_ANY = 31 };
struct manifest_key {
    const char *name;
    unsigned want; /* one of these */
};
/* Unknown members, wrong kinds, members said twice. False when `node` is no mapping at all. `what`: "command PlaceOrder". */
bool manifest_check_keys(struct manifest_reader *reader, const struct yaml *node, const char *what,
                         const struct manifest_key *keys, size_t count);
/* A mapping whose members' names are the user's: only that none is said twice. */
bool manifest_check_names(struct manifest_reader *reader, const struct yaml *node, const char *what);
/* The text of a member, or empty; in the arena. */
cairn_str manifest_text(const struct yaml *map, const char *name);
/* A whole number in a range, or `otherwise`; a fault when it is something else. */
uint64_t manifest_whole(struct manifest_reader *reader, const struct yaml *map, const char *name, uint64_t least,
                        uint64_t most, uint64_t otherwise);
/* "32MiB" the same way. */
uint64_t manifest_size(struct manifest_reader *reader, const struct yaml *map, const char *name, uint64_t least,
                       uint64_t most, uint64_t otherwise);
/* A list of texts (one text is a list of one). */
bool manifest_texts(struct manifest_reader *reader, const struct yaml *node, const char *what, size_t max,
                    const cairn_str **ret, size_t *ret_count);

/* Names: [A-Z][A-Za-z0-9]{0,63} of commands and events; [a-z][a-z0-9_-]{0,62} of apps and deciders. */
bool manifest_type_name_valid(cairn_str name);
bool manifest_plain_name_valid(cairn_str name, bool dash);

#endif

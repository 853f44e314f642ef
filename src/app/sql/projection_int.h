/* app/sql/projection_int.h: a parsed projection from within: what the runner needs to apply an event.
 *
 *   slot       something an event gives: a field, or a path into its data, meta or tags. Each distinct one once.
 *   statement  SQL with numbered parameters; parameter i + 1 is slot binds[i].
 *   plan       what is done for one event type: statements in the file's order, the slots that they need, and the
 *              paths as a tree, so that one walk over the data finds all of them.
 *
 * Everything lies in the projection's arena and never changes after parsing. */
#ifndef APP_SQL_PROJECTION_INT_H
#define APP_SQL_PROJECTION_INT_H

#include "sql_int.h"

#include <app/sql/projection.h>
#include <base/json.h>

#define PROJECTION_STATEMENTS_MAX 500 /* of each kind: DDL, and for events */
#define PROJECTION_SECTIONS_MAX 500
#define PROJECTION_NAMES_MAX 500 /* event types, categories, tags, tables: each */
#define PROJECTION_SLOTS_MAX 1000
#define PROJECTION_NODES_MAX 100000
#define PROJECTION_PATH_MAX 16   /* parts of a path */
#define PROJECTION_NAME_MAX 512  /* bytes of a type, category, tag or member */
#define PROJECTION_EXPANSION_MAX 2000 /* parts of a statement when its views and WITH tables are unfolded */

enum field {
    FIELD_POSITION, FIELD_STREAM, FIELD_STREAM_ID, FIELD_CATEGORY, FIELD_REVISION, FIELD_TYPE, FIELD_ID, FIELD_TIME,
    FIELD_TIME_US, FIELD_CORRELATION, FIELD_DATA, FIELD_META, FIELD_TAGS, FIELD_TAG,
    FIELD_DATA_PATH, FIELD_META_PATH, /* found in the walk */
};

struct slot {
    enum field field;
    cairn_str path; /* as path_put() writes it: ".customer.name", "[0]"; of FIELD_TAG: "customer:" */
};

#define NODE_NONE UINT32_MAX
struct path_node {
    cairn_str name; /* of a member, NUL-terminated; data NULL: an item of an array */
    uint32_t index; /* of the item */
    uint32_t child, sibling;
    uint32_t child_count;
    uint32_t slot; /* NODE_NONE: only on the way */
    bool escaped;  /* JSON writes the name otherwise than it is */
};

struct statement {
    cairn_str sql; /* NUL-terminated */
    uint32_t line;
    uint32_t section;
    const uint16_t *binds;
    uint16_t bind_count;
};

struct plan {
    cairn_str type; /* "*": events of any other type */
    const uint16_t *statements;
    uint16_t statement_count;
    const uint16_t *slots;
    uint16_t slot_count;
    uint32_t data_root, meta_root; /* nodes, or NODE_NONE */
    bool data_text; /* :data itself is used */
};

struct names {
    cairn_str *items;
    size_t count;
};

struct projection {
    struct arena arena;
    cairn_str path, name, ddl;
    char digest[65];
    struct names categories, tags, types, tables;
    struct names schema; /* every table, view and shadow table: what statements may touch */
    struct statement *ddl_statements, *statements;
    size_t ddl_count, statement_count;
    struct slot *slots;
    size_t slot_count;
    struct path_node *nodes;
    size_t node_count;
    struct plan *plans;
    size_t plan_count;
    const struct plan *other; /* for types without a plan of their own, or NULL */
    uint32_t *plan_table;     /* plan + 1 by hash of type; a power of two */
    size_t plan_table_size;
    bool rowid_used;          /* last_insert_rowid() occurs: it must begin at 0 for each event */
    /* A Lua projection: enough to make machines from, one for each thread. */
    bool is_lua;
    struct lua_sources sources;
};

/* The plan for a type; NULL: such events are not seen. */
const struct plan *projection_plan(const struct projection *projection, cairn_str type);
bool projection_wants(const struct projection *projection, const cairn_recorded *event);
struct lua_limits projection_lua_limits(void);

/* ---- parsing (projection_read.c) */

/* Sections and statements into the projection; faults are visited. */
cairn_err projection_read(struct projection *projection, cairn_str text, struct sql_faults *faults,
                          cairn_error *error);
cairn_err projection_read_ddl(struct projection *projection, cairn_str text, struct sql_faults *faults,
                              cairn_error *error); /* DDL alone, as Lua projections give it */
bool projection_name_add(struct projection *projection, struct names *names, cairn_str name);
bool projection_name_has(const struct names *names, cairn_str name);

/* ---- paths and plans (projection_plan.c) */

struct path_part {
    bool member; /* or an item of an array */
    cairn_str name;
    uint32_t index;
};
/* The part at *at, which goes past it; quoted names are decoded into `to`, which has room for the path. False: the end. */
bool path_next(cairn_str path, size_t *at, char *to, struct path_part *ret);
/* Each part has one way of writing: names with other than letters, digits, _ and $ in quotes, which double inside. */
void path_put(struct buf *to, const struct path_part *part);
/* Plans from statements. */
cairn_err projection_plan_all(struct projection *projection, const struct names *sections, size_t section_count,
                              cairn_error *error);

/* ---- the guard (projection_guard.c): SQLite's authoriser for a projection's SQL */

struct sql_guard {
    const struct projection *projection;
    bool own;           /* a statement of ours is at work: everything is allowed */
    bool ddl;           /* CREATE is allowed, and nothing else */
    bool reading;       /* a statement that only reads is fine, and may not write */
    bool rowid_used;    /* told */
    unsigned asked;       /* questions about the statement at hand */
    char refused[160];  /* what was refused last, or empty */
    const char *hint;
};
/* Sets it as the connection's authoriser; it must live as long as the connection prepares. */
void guard_set(sqlite3 *db, struct sql_guard *guard);
/* Prepare under the guard. On failure error has the guard's words or SQLite's, *ret_line is the line in the text, from 1,
 * and *ret_hint a static hint or "". */
cairn_err guard_prepare(sqlite3 *db, struct sql_guard *guard, cairn_str sql, bool kept, sqlite3_stmt **ret,
                        uint32_t *ret_line, const char **ret_hint, cairn_error *error);
/* Try everything on a scratch database; fills tables and schema. */
cairn_err projection_try(struct projection *projection, struct sql_faults *faults, cairn_error *error);
/* Our own tables, made before the user's. */
extern const char PROJECTION_OWN_TABLES[];
/* All of the DDL, under the guard, on an empty database with our own tables. */
cairn_err projection_create(const struct projection *projection, sqlite3 *db, cairn_error *error);

/* ---- values (projection_values.c): what an event gives, by slot */

enum value_kind { VALUE_NULL, VALUE_INTEGER, VALUE_REAL, VALUE_TEXT, VALUE_BLOB };
struct value {
    enum value_kind kind;
    union {
        int64_t integer;
        double real;
        size_t size;
    };
    const char *text;
};

struct values {
    const struct projection *projection;
    struct value *slots; /* of the event taken last */
    struct value *own_slots;
    uint32_t *seen; /* by node: the stamp of the event in which it was found */
    uint32_t stamp;
    struct arena arena; /* decoded strings; until the next event */
    bool keep;          /* slots and strings stay until the arena is reset, which is the caller's to do */
    bool no_memory;
};
cairn_err values_init(struct values *values, const struct projection *projection, bool keep, cairn_error *error);
void values_free(struct values *values);
/* Find the plan's slots in the event. Points into the event: valid as long as it is. CAIRN_E_SCRIPT: data is not the JSON
 * that it says it is. */
cairn_err values_take(struct values *values, const struct plan *plan, const cairn_recorded *event,
                      cairn_error *error);
/* Bind all parameters of a statement. Returns SQLite's code. */
int values_bind(const struct value *slots, const struct statement *statement, sqlite3_stmt *prepared);

#endif

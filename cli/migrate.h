/* cli/migrate.h: what `cairn migrate` is made of. docs/migrate.md is the user's page.
 *
 *   source ─row─► mapping ─events─► batch of rows ─┬─► append: the events, and MigrationProgressed, all or nothing
 *   (sqlite, postgresql, csv)                       └─► checks (counts, sums)
 *
 * Invariants:
 * 1. A row's events and the progress that counts the row become durable in one append. So what the stream
 *    migration-<batch> says is exactly what has been written, and going on after its last key doubles and loses nothing.
 * 2. A batch writes to streams that it has begun itself. So rolling it back deletes these streams and nothing else.
 * 3. Each event bears meta.migration and the tag migration:<batch>: that is how its streams are found again.
 *
 * Threads: one; a rollback deletes with several. Memory: a batch of rows, and the name of each stream written. */
#ifndef CLI_MIGRATE_H
#define CLI_MIGRATE_H

#include <base/arena.h>
#include <base/json.h>

#include "app_client.h"
#include "target.h"

/* ---- rows ------------------------------------------------------------------------------------------ */

enum value_kind {
    VALUE_NULL,
    VALUE_TEXT,
    VALUE_NUMBER, /* text is a JSON number */
    VALUE_TRUE,
    VALUE_FALSE,
    VALUE_JSON,   /* text is checked JSON */
    VALUE_BYTES
};

struct value {
    enum value_kind kind;
    cairn_str text;
};

#define COLUMNS_MAX 1600 /* what PostgreSQL allows a table */

/* Where rows come from: in the order of the key, which is unique. */
struct source {
    const struct source_ops *ops;
    const char *key;         /* borrowed of the mapping */
    cairn_str *columns;
    size_t column_count, key_column;
    struct arena arena;      /* columns */
};

struct source_ops {
    void (*close)(struct source *source);
    /* Begin with the first row, or after the row with this key, which was the rows-th. */
    cairn_err (*begin)(struct source *source, const struct value *after, uint64_t rows, cairn_error *error);
    /* One value for each column, borrowed until the next call. CAIRN_E_END after the last row. */
    cairn_err (*next)(struct source *source, const struct value **ret_values, cairn_error *error);
    /* An aggregate over all rows, worked out by the source itself, as text (empty: null). */
    cairn_err (*aggregate)(struct source *source, cairn_str expression, struct buf *to, cairn_error *error);
};

struct mapping;
/* Open what the mapping names, and read the columns' names. */
CAIRN_MUST_CHECK cairn_err source_open(const struct mapping *mapping, struct source **ret, cairn_error *error);
void source_close(struct source *source);
/* For the sources. */
CAIRN_MUST_CHECK cairn_err source_sqlite_open(const struct mapping *mapping, struct source **ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err source_postgres_open(const struct mapping *mapping, struct source **ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err source_csv_open(const struct mapping *mapping, struct source **ret, cairn_error *error);
/* Keep a column's name; the last step is source_key(). */
CAIRN_MUST_CHECK cairn_err source_column(struct source *source, size_t index, cairn_str name, cairn_error *error);
CAIRN_MUST_CHECK cairn_err source_key(struct source *source, const struct mapping *mapping, cairn_error *error);
/* "\"name\"", quotes doubled; a dot divides names when `dotted`. */
void sql_put_name(struct buf *to, cairn_str name, bool dotted);
/* SELECT * FROM (…) AS source, or SELECT <expression> FROM …; no WHERE or ORDER BY yet. */
void sql_put_select(struct buf *to, const struct mapping *mapping, cairn_str expression);

/* ---- the mapping ------------------------------------------------------------------------------------- */

enum source_kind { SOURCE_SQLITE, SOURCE_POSTGRES, SOURCE_CSV };

/* What a value becomes. */
enum cast { CAST_AS_IT_IS, CAST_TEXT, CAST_INTEGER, CAST_NUMBER, CAST_BOOLEAN, CAST_JSON, CAST_TIME, CAST_UNIX, CAST_UNIX_MS };

/* A column named in the mapping; found among the source's when it is open. */
struct column_ref {
    cairn_str name;
    uint32_t line;
    size_t index;
};

/* "order-{id}": literals and columns in turn. */
struct piece {
    cairn_str literal; /* before the column */
    bool has_column;
    struct column_ref column;
};
struct text_template {
    struct piece *pieces;
    size_t count;
    uint32_t line;
};

struct member {
    cairn_str name;
    bool constant, optional; /* optional: left out when null */
    cairn_str json;          /* of a constant */
    struct column_ref column;
    enum cast cast;
};

/* A condition on one column: it is one of the values, or null, or not null. */
struct condition {
    struct column_ref column;
    enum { WHEN_IN, WHEN_NULL, WHEN_NOT_NULL } test;
    cairn_str *values;
    size_t value_count;
};

/* One event that a row may give. */
struct rule {
    uint32_t line;
    cairn_str type; /* fixed, or empty: */
    struct column_ref type_column;
    struct type_name {
        cairn_str value, type;
    } *type_names; /* none: the column's text is the type */
    size_t type_name_count;
    struct text_template stream, *tags;
    size_t tag_count;
    struct condition *conditions;
    size_t condition_count;
    bool has_time;
    struct member time;
    bool all_columns;
    struct member *members;
    size_t member_count;
};

enum check_function { CHECK_COUNT, CHECK_SUM, CHECK_MIN, CHECK_MAX };
struct check {
    cairn_str name, type; /* type: only events of it; empty: all */
    cairn_str source;     /* SQL; of a CSV file count(), count(column), sum(…), min(…), max(…) */
    enum check_function function;
    cairn_str member;     /* of the event's data; empty: the event itself (count) */
    uint32_t line;
};

#define RULES_MAX 64
#define TAGS_PER_RULE_MAX 60
#define CHECKS_MAX 64

struct mapping {
    const char *path;
    char folder[4096];   /* of the file: what relative paths in it are relative to */
    char digest[65];     /* SHA-256 of the file */
    cairn_str batch;
    enum source_kind kind;
    const char *location; /* path or connection string */
    cairn_str table, query; /* one of them, of a database */
    const char *key;
    uint32_t key_line;
    char separator;
    struct rule *rules;
    size_t rule_count;
    struct check *checks;
    size_t check_count;
    struct arena arena;
};

/* 0, or an exit code after every fault was said, with file and line. */
int mapping_read(const struct args *args, const char *path, struct mapping *ret);
/* Find every column among the source's. 0, or an exit code after every fault was said. */
int mapping_bind(const struct args *args, struct mapping *mapping, const struct source *source);
void mapping_free(struct mapping *mapping);
bool is_batch_name(cairn_str name);
/* "sum(amount)" → function and argument. */
bool parse_check(cairn_str text, enum check_function *ret_function, cairn_str *ret_argument);

/* ---- from a row to events ------------------------------------------------------------------------------ */

struct made {
    cairn_str stream;
    cairn_event event; /* everything in the arena */
};
/* A row's events, at most one a rule. CAIRN_E_INVALID names the row, the column and the rule's line. */
CAIRN_MUST_CHECK cairn_err map_row(const struct mapping *mapping, cairn_str batch, const struct source *source,
                                   const struct value *values, struct arena *arena, struct made to[RULES_MAX],
                                   size_t *ret_count, cairn_error *error);
/* The value as JSON: a key in MigrationProgressed. */
void value_put_json(struct buf *to, const struct value *value);

/* ---- counts and checks ------------------------------------------------------------------------------------ */

#define TYPES_MAX 1000

struct type_count {
    cairn_str type;
    uint64_t count;
};

/* An exact decimal of up to 18 digits on either side, as long as it lasts; and a rounded one. */
struct tally {
    uint64_t count;
    bool exact;
    __int128 nano;     /* sum × 10^9 */
    long double sum;
    struct buf best;   /* min, max */
    bool best_is_number;
};

/* What is counted over events as they pass, made or read back. */
struct audit {
    const struct mapping *mapping;
    struct type_count types[TYPES_MAX];
    size_t type_count;
    uint64_t events;
    struct tally tallies[CHECKS_MAX];
    struct arena arena;
};
void audit_begin(struct audit *audit, const struct mapping *mapping);
CAIRN_MUST_CHECK cairn_err audit_event(struct audit *audit, const cairn_event *event, cairn_error *error);
void audit_free(struct audit *audit);
/* {"type":n,…} */
void audit_put_types(struct buf *to, const struct audit *audit);
bool audit_add_type(struct audit *audit, cairn_str type, uint64_t count);

/* One comparison: how many, or how much, by the source and by the events. */
struct finding {
    const char *what; /* "rows", "events", "OrderPlaced", the check's name: in the arena */
    cairn_str source, events;
    bool same;
};
#define FINDINGS_MAX (TYPES_MAX + CHECKS_MAX + 8)
struct findings {
    struct finding at[FINDINGS_MAX];
    size_t count;
    bool same;
    struct arena arena;
};
/* `counted`: what the migration says that it has read and written; `found`: what is there. */
CAIRN_MUST_CHECK cairn_err findings_make(struct findings *to, struct source *source, const struct mapping *mapping,
                                         uint64_t rows, const struct audit *counted, const struct audit *found,
                                         cairn_error *error);
void findings_put_json(struct buf *to, const struct findings *findings);
void findings_show(const struct findings *findings);
void findings_free(struct findings *findings);

/* A tally of a column or member, fed with values one by one; the text of its result. */
void tally_add(struct tally *tally, enum check_function function, const struct value *value);
void tally_put(struct buf *to, const struct tally *tally, enum check_function function);

/* ---- what the log says of a batch (stream migration-<batch>) ------------------------------------------------- */

enum migration_phase { MIGRATION_NONE, MIGRATION_RUNNING, MIGRATION_COMPLETED, MIGRATION_ROLLING_BACK, MIGRATION_ROLLED_BACK };

struct migration_state {
    enum migration_phase phase;
    int64_t revision;    /* of the stream's last event; -1 */
    uint64_t run;        /* 1, 2 after a rollback, … */
    uint64_t rows, skipped; /* read; gave no event */
    struct value key;    /* of the last row; VALUE_NULL: none */
    char mapping[65];    /* its digest */
    struct audit counted;
    bool same;           /* completed: the checks held */
    int64_t time_us;
    struct arena arena;
};
CAIRN_MUST_CHECK cairn_err migration_load(struct target *target, cairn_str batch, const struct mapping *mapping,
                                          struct migration_state *ret, cairn_error *error);
void migration_state_free(struct migration_state *state);
void migration_stream(cairn_str batch, struct buf *to);
/* An event for that stream: run, mapping, counts, and `more` members (",…" or empty). `data` is the caller's buffer. */
void migration_event(const struct migration_state *state, const char *type, cairn_str batch, cairn_str more, struct buf *data,
                     cairn_event *ret);
/* Append it alone, where the stream is expected to be. */
CAIRN_MUST_CHECK cairn_err migration_say(struct target *target, struct migration_state *state, const char *type,
                                         cairn_str batch, cairn_str more, cairn_error *error);

/* migrate_rollback.c */
int migrate_rollback(const struct args *args, cairn_str batch);
int migrate_status(const struct args *args, cairn_str batch);

#endif

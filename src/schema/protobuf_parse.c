/* Read the text of a .proto file: tokens, then statements. Names stay as they are written; protobuf.c resolves them.
 *
 * Services, extensions and options that nobody here needs are kept as tokens only, so that two files that differ in them are
 * two schemas. One owner thread. */
#include <schema/protobuf_int.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_SIGN };

struct parser {
    struct proto_compile *compile;
    struct proto_file *file;
    const char *at, *end;
    unsigned line, depth;
    enum token_kind kind;
    cairn_str token; /* of TOKEN_TEXT with its quotes */
    struct buf services;
};

#define TRY(call)                \
    do {                         \
        cairn_err err_ = (call); \
        if (err_ != CAIRN_OK)    \
            return err_;         \
    } while (0)

__attribute__((format(printf, 2, 3))) static cairn_err
refuse(struct parser *p, const char *format, ...)
{
    char message[240];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return error_set(p->compile->error, CAIRN_E_INVALID, "line %u: %s", p->line, message);
}

static cairn_err
unexpected(struct parser *p, const char *wanted)
{
    if (p->kind == TOKEN_END)
        return refuse(p, "the text ends where %s was expected", wanted);
    return refuse(p, "%.*s where %s was expected", (int)(p->token.size > 60 ? 60 : p->token.size), p->token.data, wanted);
}

/* ---- tokens */

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* White space and comments. False: a comment that does not end. */
static bool
skip_space(struct parser *p)
{
    for (;;) {
        while (p->at < p->end && (*p->at == ' ' || (*p->at >= '\t' && *p->at <= '\r')))
            p->line += *p->at++ == '\n';
        if (p->end - p->at < 2 || p->at[0] != '/' || (p->at[1] != '/' && p->at[1] != '*'))
            return true;
        bool whole_line = p->at[1] == '/';
        p->at += 2;
        for (;; p->at++) {
            if (p->at >= p->end)
                return whole_line;
            if (whole_line && *p->at == '\n')
                break;
            if (!whole_line && p->end - p->at >= 2 && p->at[0] == '*' && p->at[1] == '/') {
                p->at += 2;
                break;
            }
            p->line += *p->at == '\n';
        }
    }
}

static cairn_err
next(struct parser *p)
{
    if (!skip_space(p))
        return refuse(p, "a comment that does not end");
    const char *from = p->at;
    if (p->at >= p->end) {
        p->kind = TOKEN_END;
        p->token = (cairn_str){"", 0};
        return CAIRN_OK;
    }
    char c = *p->at++;
    if (is_letter(c)) {
        p->kind = TOKEN_WORD;
        while (p->at < p->end && (is_letter(*p->at) || is_digit(*p->at)))
            p->at++;
    } else if (is_digit(c) || (c == '.' && p->at < p->end && is_digit(*p->at))) {
        p->kind = TOKEN_NUMBER;
        while (p->at < p->end && (is_letter(*p->at) || is_digit(*p->at) || *p->at == '.' ||
                                  ((*p->at == '+' || *p->at == '-') && (p->at[-1] == 'e' || p->at[-1] == 'E'))))
            p->at++;
    } else if (c == '"' || c == '\'') {
        p->kind = TOKEN_TEXT;
        while (p->at < p->end && *p->at != c && *p->at != '\n')
            p->at += *p->at == '\\' && p->end - p->at > 1 ? 2 : 1;
        if (p->at >= p->end || *p->at != c)
            return refuse(p, "a text that does not end");
        p->at++;
    } else {
        p->kind = TOKEN_SIGN;
    }
    p->token = (cairn_str){from, (size_t)(p->at - from)};
    return CAIRN_OK;
}

static bool
is(const struct parser *p, const char *word)
{
    return p->kind != TOKEN_TEXT && cairn_str_equal(p->token, cairn_cstr(word));
}

static cairn_err
expect(struct parser *p, const char *sign)
{
    char quoted[16];
    snprintf(quoted, sizeof quoted, "\"%s\"", sign);
    return is(p, sign) ? next(p) : unexpected(p, quoted);
}

static cairn_err
take_word(struct parser *p, cairn_str *ret)
{
    if (p->kind != TOKEN_WORD)
        return unexpected(p, "a name");
    *ret = p->token;
    return next(p);
}

/* a.b.c, with a dot before it or not; one slice of memory. */
static cairn_err
take_dotted(struct parser *p, cairn_str *ret)
{
    struct buf name = {0};
    cairn_err err = CAIRN_OK;
    if (is(p, ".")) {
        buf_put_char(&name, '.');
        err = next(p);
    }
    for (;;) {
        cairn_str part;
        if (err == CAIRN_OK)
            err = take_word(p, &part);
        if (err != CAIRN_OK)
            break;
        buf_put_str(&name, part);
        if (!is(p, "."))
            break;
        buf_put_char(&name, '.');
        err = next(p);
    }
    if (err == CAIRN_OK) {
        *ret = name.failed ? (cairn_str){NULL, 0} : arena_copy(&p->compile->schema->arena, buf_str(&name));
        if (!ret->data)
            err = proto_no_memory(p->compile);
    }
    buf_free(&name);
    return err;
}

static cairn_err
take_int(struct parser *p, int64_t *ret)
{
    bool negative = is(p, "-");
    if (negative)
        TRY(next(p));
    char digits[32], *end;
    if (p->kind != TOKEN_NUMBER || p->token.size >= sizeof digits)
        return unexpected(p, "a whole number");
    memcpy(digits, p->token.data, p->token.size);
    digits[p->token.size] = 0;
    long long value = strtoll(digits, &end, 0);
    if (*end || value > UINT32_MAX)
        return unexpected(p, "a whole number");
    *ret = negative ? -value : value;
    return next(p);
}

/* What an import names: between the quotes, as it stands, so there is nothing to escape in it. */
static cairn_err
take_text(struct parser *p, cairn_str *ret)
{
    if (p->kind != TOKEN_TEXT)
        return unexpected(p, "a text");
    *ret = (cairn_str){p->token.data + 1, p->token.size - 2};
    for (size_t i = 0; i < ret->size; i++)
        if ((uint8_t)ret->data[i] < 0x20 || ret->data[i] == 0x7F || ret->data[i] == '\\' || ret->data[i] == '"')
            return unexpected(p, "a plain text");
    return next(p);
}

/* ---- options */

static void
put_token(struct parser *p, struct buf *to)
{
    if (to->size)
        buf_put_char(to, ' ');
    buf_put_str(to, p->token);
}

/* Tokens from "{" to the "}" that belongs to it. */
static cairn_err
take_block(struct parser *p, struct buf *to)
{
    unsigned open = 0;
    do {
        if (p->kind == TOKEN_END)
            return unexpected(p, "\"}\"");
        open += is(p, "{");
        open -= is(p, "}");
        put_token(p, to);
        TRY(next(p));
    } while (open > 0);
    return CAIRN_OK;
}

static cairn_err
take_value(struct parser *p, struct buf *to)
{
    if (is(p, "{"))
        return take_block(p, to);
    if (is(p, "-") || is(p, "+")) {
        buf_put_str(to, p->token);
        TRY(next(p));
        if (p->kind == TOKEN_TEXT)
            return unexpected(p, "a number");
    }
    if (p->kind != TOKEN_TEXT) {
        if (p->kind != TOKEN_WORD && p->kind != TOKEN_NUMBER)
            return unexpected(p, "a value");
        buf_put_str(to, p->token);
        TRY(next(p));
        while (is(p, ".")) {
            buf_put_char(to, '.');
            TRY(next(p));
            cairn_str word;
            TRY(take_word(p, &word));
            buf_put_str(to, word);
        }
        return CAIRN_OK;
    }
    while (p->kind == TOKEN_TEXT) { /* texts one after another are one */
        put_token(p, to);
        TRY(next(p));
    }
    return CAIRN_OK;
}

static cairn_err
take_option_name(struct parser *p, struct buf *to)
{
    for (;;) {
        if (is(p, "(")) {
            cairn_str name;
            TRY(next(p));
            TRY(take_dotted(p, &name));
            TRY(expect(p, ")"));
            buf_printf(to, "(%.*s)", (int)name.size, name.data);
        } else {
            cairn_str word;
            TRY(take_word(p, &word));
            buf_put_str(to, word);
        }
        if (!is(p, "."))
            return CAIRN_OK;
        buf_put_char(to, '.');
        TRY(next(p));
    }
}

/* name = value */
static cairn_err
parse_option(struct parser *p, struct proto_option **list)
{
    struct buf name = {0}, value = {0};
    struct proto_option *option = arena_zalloc(&p->compile->schema->arena, sizeof *option);
    cairn_err err = option ? take_option_name(p, &name) : proto_no_memory(p->compile);
    if (err == CAIRN_OK)
        err = expect(p, "=");
    if (err == CAIRN_OK)
        err = take_value(p, &value);
    if (err == CAIRN_OK) {
        option->name = name.failed ? (cairn_str){NULL, 0} : arena_copy(&p->compile->schema->arena, buf_str(&name));
        option->value = value.failed ? (cairn_str){NULL, 0} : arena_copy(&p->compile->schema->arena, buf_str(&value));
        if (!option->name.data || !option->value.data)
            err = proto_no_memory(p->compile);
        else
            err = proto_add_option(p->compile, list, option);
    }
    buf_free(&name);
    buf_free(&value);
    return err;
}

/* option name = value ; */
static cairn_err
parse_option_statement(struct parser *p, struct proto_option **list)
{
    TRY(next(p));
    TRY(parse_option(p, list));
    return expect(p, ";");
}

/* [name = value, …], or nothing */
static cairn_err
parse_options(struct parser *p, struct proto_option **list)
{
    if (!is(p, "["))
        return CAIRN_OK;
    do {
        TRY(next(p));
        TRY(parse_option(p, list));
    } while (is(p, ","));
    return expect(p, "]");
}

/* ---- reserved, extensions */

static cairn_err
parse_range(struct parser *p, struct proto_range **list, int64_t max)
{
    struct proto_range *range = arena_zalloc(&p->compile->schema->arena, sizeof *range);
    if (!range)
        return proto_no_memory(p->compile);
    TRY(proto_count(p->compile));
    TRY(take_int(p, &range->first));
    range->last = range->first;
    if (is(p, "to")) {
        TRY(next(p));
        if (is(p, "max")) {
            range->last = max;
            TRY(next(p));
        } else {
            TRY(take_int(p, &range->last));
        }
    }
    if (range->last < range->first)
        return refuse(p, "a range that ends before it begins");
    while (*list)
        list = &(*list)->next;
    *list = range;
    return CAIRN_OK;
}

/* reserved and extensions: a list of ranges, or of names. */
static cairn_err
parse_ranges(struct parser *p, struct proto_range **ranges, struct proto_name **names, int64_t max)
{
    struct proto_option *ignored = NULL;
    do {
        TRY(next(p));
        if (names && p->kind == TOKEN_TEXT) {
            struct proto_name *name = arena_zalloc(&p->compile->schema->arena, sizeof *name);
            if (!name)
                return proto_no_memory(p->compile);
            TRY(proto_count(p->compile));
            TRY(take_text(p, &name->text));
            while (*names)
                names = &(*names)->next;
            *names = name;
        } else {
            TRY(parse_range(p, ranges, max));
        }
    } while (is(p, ","));
    TRY(parse_options(p, &ignored));
    return expect(p, ";");
}

/* ---- enums */

static cairn_err
parse_value(struct parser *p, struct proto_enum *enum_)
{
    struct proto_value *value = arena_zalloc(&p->compile->schema->arena, sizeof *value), **end = &enum_->values;
    int64_t number;
    if (!value)
        return proto_no_memory(p->compile);
    TRY(proto_count(p->compile));
    TRY(take_word(p, &value->name));
    TRY(expect(p, "="));
    TRY(take_int(p, &number));
    if (number < INT32_MIN || number > INT32_MAX)
        return refuse(p, "the number of %.*s has more than 32 bits", (int)value->name.size, value->name.data);
    value->number = (int32_t)number;
    TRY(parse_options(p, &value->options));
    while (*end)
        end = &(*end)->next;
    *end = value;
    return expect(p, ";");
}

static cairn_err
parse_enum(struct parser *p, struct proto_enum **list)
{
    struct proto_enum *enum_ = arena_zalloc(&p->compile->schema->arena, sizeof *enum_);
    if (!enum_)
        return proto_no_memory(p->compile);
    TRY(proto_count(p->compile));
    TRY(next(p));
    TRY(take_word(p, &enum_->name));
    TRY(expect(p, "{"));
    while (!is(p, "}")) {
        if (is(p, ";"))
            TRY(next(p));
        else if (is(p, "option"))
            TRY(parse_option_statement(p, &enum_->options));
        else if (is(p, "reserved"))
            TRY(parse_ranges(p, &enum_->reserved, &enum_->reserved_names, INT32_MAX));
        else
            TRY(parse_value(p, enum_));
    }
    while (*list)
        list = &(*list)->next;
    *list = enum_;
    return next(p);
}

/* ---- fields */

static cairn_err parse_message_body(struct parser *p, struct proto_message *message);

static struct proto_message *
make_message(struct parser *p, const struct proto_message *parent)
{
    struct proto_message *message = arena_zalloc(&p->compile->schema->arena, sizeof *message);
    if (message)
        *message = (struct proto_message){.file = p->file, .parent = parent, .number = p->compile->schema->message_count++};
    return message;
}

static cairn_err
take_number(struct parser *p, struct proto_field *field)
{
    int64_t number;
    TRY(expect(p, "="));
    TRY(take_int(p, &number));
    if (number < 1 || number > PROTO_NUMBER_MAX || (number >= 19000 && number <= 19999))
        return refuse(p, "%lld cannot be a field's number", (long long)number);
    field->number = (uint32_t)number;
    return CAIRN_OK;
}

static void
add_field(struct proto_message *message, struct proto_field *field)
{
    struct proto_field **end = &message->fields;
    while (*end)
        end = &(*end)->next;
    *end = field;
    message->field_count++;
}

/* A group is a message and a field of it in one; the field's name is the message's in lower case. */
static cairn_err
parse_group(struct parser *p, struct proto_message *message, struct proto_field *field)
{
    struct proto_message *group = make_message(p, message), **end = &message->messages;
    if (!group)
        return proto_no_memory(p->compile);
    TRY(proto_count(p->compile));
    TRY(next(p));
    TRY(take_word(p, &group->name));
    char *lower = arena_alloc(&p->compile->schema->arena, group->name.size);
    if (!lower)
        return proto_no_memory(p->compile);
    for (size_t i = 0; i < group->name.size; i++)
        lower[i] = (char)(group->name.data[i] >= 'A' && group->name.data[i] <= 'Z' ? group->name.data[i] + 32 : group->name.data[i]);
    field->name = (cairn_str){lower, group->name.size};
    field->type = PROTO_GROUP;
    field->type_name = group->name;
    group->is_group = true;
    TRY(take_number(p, field));
    TRY(parse_options(p, &field->options));
    while (*end)
        end = &(*end)->next;
    *end = group;
    add_field(message, field);
    return parse_message_body(p, group);
}

struct proto_message *
proto_make_entry(struct proto_compile *compile, struct proto_field *field, enum proto_type key, enum proto_type value,
                 cairn_str value_name)
{
    struct arena *arena = &compile->schema->arena;
    struct proto_message *entry = arena_zalloc(arena, sizeof *entry);
    struct proto_field *fields = arena_zalloc(arena, 2 * sizeof *fields);
    if (!entry || !fields)
        return NULL;
    fields[0] = (struct proto_field){.name = CAIRN_STR("key"), .number = 1, .type = key, .label = PROTO_OPTIONAL, .oneof = -1,
                                     .line = field->line, .next = &fields[1]};
    fields[1] = (struct proto_field){.name = CAIRN_STR("value"), .number = 2, .type = value, .label = PROTO_OPTIONAL,
                                     .type_name = value_name, .oneof = -1, .line = field->line};
    *entry = (struct proto_message){.fields = fields, .field_count = 2, .is_map_entry = true,
                                    .number = compile->schema->message_count++};
    field->type = PROTO_MESSAGE;
    field->label = PROTO_REPEATED;
    field->message = entry;
    return entry;
}

static cairn_err
take_type(struct parser *p, enum proto_type *ret, cairn_str *ret_name)
{
    TRY(take_dotted(p, ret_name));
    if (!proto_type_by_name(*ret_name, ret))
        *ret = PROTO_NAMED;
    return CAIRN_OK;
}

/* < key , value > */
static cairn_err
parse_map(struct parser *p, struct proto_message *message, struct proto_field *field)
{
    enum proto_type key, value;
    cairn_str key_name, value_name;
    TRY(next(p));
    TRY(take_type(p, &key, &key_name));
    if (key == PROTO_NAMED || key == PROTO_DOUBLE || key == PROTO_FLOAT || key == PROTO_BYTES)
        return refuse(p, "%.*s cannot be the key of a map", (int)(key_name.size > 80 ? 80 : key_name.size), key_name.data);
    TRY(expect(p, ","));
    TRY(take_type(p, &value, &value_name));
    TRY(expect(p, ">"));
    struct proto_message *entry = proto_make_entry(p->compile, field, key, value, value_name);
    if (!entry)
        return proto_no_memory(p->compile);
    entry->file = p->file;
    entry->parent = message;
    return CAIRN_OK;
}

static cairn_err
parse_field(struct parser *p, struct proto_message *message, int32_t oneof)
{
    struct proto_field *field = arena_zalloc(&p->compile->schema->arena, sizeof *field);
    if (!field)
        return proto_no_memory(p->compile);
    TRY(proto_count(p->compile));
    *field = (struct proto_field){.label = PROTO_OPTIONAL, .oneof = oneof, .line = p->line};
    bool labelled = true;
    if (is(p, "optional"))
        field->is_optional = true;
    else if (is(p, "required"))
        field->label = PROTO_REQUIRED;
    else if (is(p, "repeated"))
        field->label = PROTO_REPEATED;
    else
        labelled = false;
    if (labelled && oneof >= 0)
        return refuse(p, "a field of a oneof has no label");
    if (labelled && p->file->proto3 && field->label == PROTO_REQUIRED)
        return refuse(p, "proto3 has no required fields");
    if (labelled)
        TRY(next(p));
    if (is(p, "group") && !p->file->proto3)
        return parse_group(p, message, field);
    TRY(take_type(p, &field->type, &field->type_name));
    if (!labelled && oneof < 0 && is(p, "<") && cairn_str_equal(field->type_name, CAIRN_STR("map")))
        TRY(parse_map(p, message, field));
    else if (!labelled && oneof < 0 && !p->file->proto3)
        return refuse(p, "a field of proto2 must be optional, required or repeated");
    TRY(take_word(p, &field->name));
    TRY(take_number(p, field));
    TRY(parse_options(p, &field->options));
    add_field(message, field);
    return expect(p, ";");
}

static cairn_err
parse_oneof(struct parser *p, struct proto_message *message)
{
    struct proto_oneof *oneof = arena_zalloc(&p->compile->schema->arena, sizeof *oneof), **end = &message->oneofs;
    size_t before = message->field_count;
    if (!oneof)
        return proto_no_memory(p->compile);
    TRY(proto_count(p->compile));
    TRY(next(p));
    TRY(take_word(p, &oneof->name));
    while (*end)
        end = &(*end)->next;
    *end = oneof;
    int32_t index = (int32_t)message->oneof_count++;
    TRY(expect(p, "{"));
    while (!is(p, "}")) {
        if (is(p, ";"))
            TRY(next(p));
        else if (is(p, "option"))
            TRY(parse_option_statement(p, &oneof->options));
        else
            TRY(parse_field(p, message, index));
    }
    if (message->field_count == before)
        return refuse(p, "a oneof without a field");
    return next(p);
}

/* ---- messages and files */

/* Services and extensions: their tokens, as far as their block or semicolon. */
static cairn_err
take_unused(struct parser *p)
{
    while (!is(p, "{") && !is(p, ";")) {
        if (p->kind == TOKEN_END)
            return unexpected(p, "\"{\"");
        put_token(p, &p->services);
        TRY(next(p));
    }
    if (is(p, "{"))
        return take_block(p, &p->services);
    put_token(p, &p->services);
    return next(p);
}

static cairn_err parse_message(struct parser *p, const struct proto_message *parent, struct proto_message **list);

/* A type may be called as a statement is: "message" is one only before a name and "{". */
static cairn_err
parse_member(struct parser *p, struct proto_message *message)
{
    if (is(p, ";"))
        return next(p);
    if (is(p, "message"))
        return parse_message(p, message, &message->messages);
    if (is(p, "enum"))
        return parse_enum(p, &message->enums);
    if (is(p, "oneof"))
        return parse_oneof(p, message);
    if (is(p, "option"))
        return parse_option_statement(p, &message->options);
    if (is(p, "extend"))
        return take_unused(p);
    if (is(p, "reserved"))
        return parse_ranges(p, &message->reserved, &message->reserved_names, PROTO_NUMBER_MAX);
    if (is(p, "extensions"))
        return parse_ranges(p, &message->extensions, NULL, PROTO_NUMBER_MAX);
    return parse_field(p, message, -1);
}

static cairn_err
parse_message_body(struct parser *p, struct proto_message *message)
{
    if (++p->depth > PROTO_DEPTH_MAX)
        return refuse(p, "messages nested deeper than %d", PROTO_DEPTH_MAX);
    TRY(expect(p, "{"));
    while (!is(p, "}"))
        TRY(parse_member(p, message));
    p->depth--;
    return next(p);
}

static cairn_err
parse_message(struct parser *p, const struct proto_message *parent, struct proto_message **list)
{
    struct proto_message *message = make_message(p, parent);
    if (!message)
        return proto_no_memory(p->compile);
    TRY(proto_count(p->compile));
    TRY(next(p));
    TRY(take_word(p, &message->name));
    while (*list)
        list = &(*list)->next;
    *list = message;
    return parse_message_body(p, message);
}

static cairn_err
parse_import(struct parser *p)
{
    struct proto_import *import = arena_zalloc(&p->compile->schema->arena, sizeof *import), **end = &p->file->imports;
    if (!import)
        return proto_no_memory(p->compile);
    TRY(proto_count(p->compile));
    TRY(next(p));
    if (is(p, "public") || is(p, "weak")) {
        import->kind = p->token.data[0];
        TRY(next(p));
    }
    TRY(take_text(p, &import->name));
    while (*end)
        end = &(*end)->next;
    *end = import;
    return expect(p, ";");
}

static cairn_err
parse_syntax(struct parser *p)
{
    cairn_str syntax = {NULL, 0};
    if (is(p, "edition"))
        return refuse(p, "editions are not known here; use syntax = \"proto3\" or \"proto2\"");
    TRY(next(p));
    TRY(expect(p, "="));
    TRY(take_text(p, &syntax));
    p->file->proto3 = cairn_str_equal(syntax, CAIRN_STR("proto3"));
    if (!p->file->proto3 && !cairn_str_equal(syntax, CAIRN_STR("proto2")))
        return refuse(p, "the syntax must be \"proto2\" or \"proto3\"");
    return expect(p, ";");
}

static cairn_err
parse_file(struct parser *p)
{
    TRY(next(p));
    if (is(p, "syntax") || is(p, "edition"))
        TRY(parse_syntax(p));
    while (p->kind != TOKEN_END) {
        if (is(p, ";")) {
            TRY(next(p));
        } else if (is(p, "import")) {
            TRY(parse_import(p));
        } else if (is(p, "package")) {
            TRY(next(p));
            if (is(p, "."))
                return unexpected(p, "a package");
            TRY(take_dotted(p, &p->file->package));
            TRY(expect(p, ";"));
        } else if (is(p, "option")) {
            TRY(parse_option_statement(p, &p->file->options));
        } else if (is(p, "message")) {
            TRY(parse_message(p, NULL, &p->file->messages));
        } else if (is(p, "enum")) {
            TRY(parse_enum(p, &p->file->enums));
        } else if (is(p, "service") || is(p, "extend")) {
            TRY(take_unused(p));
        } else {
            return unexpected(p, "a message, an enum or another statement");
        }
    }
    return CAIRN_OK;
}

cairn_err
proto_parse(struct proto_compile *compile, cairn_str text, struct proto_file *file)
{
    cairn_str copy = arena_copy(&compile->schema->arena, text);
    if (!copy.data)
        return proto_no_memory(compile);
    struct parser parser = {.compile = compile, .file = file, .at = copy.data, .end = copy.data + copy.size, .line = 1};
    if (text.size && memchr(text.data, 0, text.size))
        return error_set(compile->error, CAIRN_E_INVALID, "the text has a byte of 0 in it");
    cairn_err err = parse_file(&parser);
    if (err == CAIRN_OK && parser.services.size) {
        file->services = parser.services.failed ? (cairn_str){NULL, 0} : arena_copy(&compile->schema->arena, buf_str(&parser.services));
        if (!file->services.data)
            err = proto_no_memory(compile);
    }
    buf_free(&parser.services);
    return err;
}

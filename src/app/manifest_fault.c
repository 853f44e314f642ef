/* Faults of an app: collected up to APP_FAULTS_MAX, with lines and with the name that was probably meant. See manifest_int.h. */
#include <app/manifest_int.h>

#include <base/error.h>
#include <stdarg.h>
#include <stdio.h>

static void
tell(struct manifest_reader *reader, const cairn_app_fault *fault)
{
    bool matters = !reader->types_only || reader->in_schema || !reader->root;
    if (!fault->warning && matters && reader->wrong_count++ == 0)
        error_set(reader->error, CAIRN_E_INVALID, "%.*s:%u: %.*s", (int)fault->file.size, fault->file.data, fault->line,
                  (int)fault->message.size, fault->message.data);
    reader->fault_count++;
    if (!reader->visit || reader->fault_count > APP_FAULTS_MAX)
        return;
    if (reader->fault_count == APP_FAULTS_MAX)
        reader->visit(reader->context, &(cairn_app_fault){.file = fault->file, .message = CAIRN_STR("there are more faults than are shown"),
                                                          .hint = CAIRN_STR("Mend these first.")});
    else
        reader->visit(reader->context, fault);
}

static void
tell_formatted(struct manifest_reader *reader, cairn_str file, uint32_t line, const char *hint, bool warning,
               const char *format, va_list args)
{
    char text[640];
    int size = vsnprintf(text, sizeof text, format, args);
    cairn_str message = {text, size < 0 ? 0 : (size_t)size < sizeof text ? (size_t)size : sizeof text - 1};
    tell(reader, &(cairn_app_fault){file, line, message, cairn_cstr(hint), warning});
}

void
manifest_fault(struct manifest_reader *reader, cairn_str file, uint32_t line, const char *hint, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell_formatted(reader, file, line, hint, false, format, args);
    va_end(args);
}

void
manifest_warn(struct manifest_reader *reader, cairn_str file, uint32_t line, const char *hint, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell_formatted(reader, file, line, hint, true, format, args);
    va_end(args);
}

void
manifest_pass_on(void *context, const cairn_app_fault *fault)
{
    tell(context, fault);
}

bool
manifest_nomem(struct manifest_reader *reader)
{
    reader->fatal = error_set(reader->error, CAIRN_E_NOMEM, "out of memory reading an app");
    return false;
}

const char *
manifest_hint(struct manifest_reader *reader, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reader->hint, sizeof reader->hint, format, args);
    va_end(args);
    return reader->hint;
}

/* ---- what was probably meant */

enum { NAME_COMPARED_MAX = 64 };

size_t
manifest_distance(cairn_str a, cairn_str b, size_t max)
{
    size_t row[NAME_COMPARED_MAX + 1];
    size_t gap = a.size > b.size ? a.size - b.size : b.size - a.size;
    if (gap > max || a.size > NAME_COMPARED_MAX || b.size > NAME_COMPARED_MAX)
        return max + 1;
    for (size_t j = 0; j <= b.size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t above = row[j], least = diagonal + (a.data[i - 1] != b.data[j - 1]);
            if (above + 1 < least)
                least = above + 1;
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            row[j] = least;
            diagonal = above;
        }
    }
    return row[b.size];
}

const char *
manifest_did_you_mean(struct manifest_reader *reader, cairn_str name, manifest_name_at name_at, const void *context,
                      const char *otherwise)
{
    size_t best = name.size / 3 + 2; /* a third of the letters may be wrong, and one more */
    cairn_str at, nearest = {0};
    for (size_t i = 0; name_at(context, i, &at); i++) {
        size_t distance = manifest_distance(name, at, best);
        if (distance < best && distance < at.size) {
            best = distance;
            nearest = at;
        }
    }
    if (!nearest.data)
        return otherwise;
    return manifest_hint(reader, "Did you mean %.*s?", (int)nearest.size, nearest.data);
}

/* ---- lines */

uint32_t
manifest_line_at(cairn_str text, size_t offset)
{
    uint32_t line = 1;
    if (offset > text.size)
        offset = text.size;
    for (size_t i = 0; i < offset; i++)
        line += text.data[i] == '\n';
    return line;
}

static bool
word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

uint32_t
manifest_line_of_word(cairn_str text, cairn_str word)
{
    for (size_t i = 0; word.size && i + word.size <= text.size; i++)
        if (memcmp(text.data + i, word.data, word.size) == 0 && (i == 0 || !word_byte(text.data[i - 1]))
            && (i + word.size == text.size || !word_byte(text.data[i + word.size])))
            return manifest_line_at(text, i);
    return 0;
}

uint32_t
manifest_json_line(cairn_str text, cairn_str pointer)
{
    struct json value = json_trusted(text), name, item, found;
    const char *place = value.raw.data;
    while (pointer.size > 0 && pointer.data[0] == '/' && value.type >= JSON_ARRAY) {
        const char *end = memchr(pointer.data + 1, '/', pointer.size - 1);
        size_t size = end ? (size_t)(end - pointer.data - 1) : pointer.size - 1;
        char token[256], index_text[24];
        size_t used = 0, index = 0;
        for (size_t i = 0; i < size && used + 1 < sizeof token; i++) {
            char c = pointer.data[1 + i];
            if (c == '~' && i + 1 < size)
                c = pointer.data[1 + ++i] == '1' ? '/' : '~';
            token[used++] = c;
        }
        token[used] = '\0';
        found = (struct json){0};
        struct json_walk walk = json_walk(value);
        while (found.type == JSON_NONE && json_next(&walk, &name, &item)) {
            snprintf(index_text, sizeof index_text, "%zu", index++);
            if (name.type == JSON_STRING ? json_string_is(name, token) : strcmp(index_text, token) == 0) {
                place = name.type == JSON_STRING ? name.raw.data : item.raw.data;
                found = item;
            }
        }
        if (found.type == JSON_NONE)
            break;
        value = found;
        pointer.data += size + 1;
        pointer.size -= size + 1;
    }
    return place ? manifest_line_at(text, (size_t)(place - text.data)) : 1;
}

/* Faults of compatibility, kept up to a bound. One owner thread. */
#include <schema/faults.h>

#include <stdarg.h>
#include <stdio.h>

bool
schema_fault_add(struct schema_faults *faults, const char *type, cairn_str place, const char *format, ...)
{
    if (faults->count++ >= SCHEMA_FAULTS_MAX)
        return false;
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    struct schema_fault fault = {type, arena_copy(faults->arena, place), arena_copy(faults->arena, cairn_cstr(message))};
    if (!fault.place.data || !fault.message.data) {
        faults->nomem = true;
        faults->count--;
        return false;
    }
    faults->items[faults->count - 1] = fault;
    return false;
}

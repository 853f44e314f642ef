/* app/openapi_int.h: the parts of an app's OpenAPI document. openapi.c: paths and components; openapi_schema.c: JSON
 * Schemas as components. */
#ifndef APP_OPENAPI_INT_H
#define APP_OPENAPI_INT_H

#include <base/json.h>

/* A checked JSON Schema as the value of #/components/schemas/<component>: its references into itself ("#/$defs/x", "#",
 * "#anchor", and the same behind its own "$id") point into that component, its "$id" is gone, "$schema" stays (OpenAPI 3.1
 * reads it). Subschemas with an "$id" of their own are as they were: their references are relative to it. */
void openapi_put_schema(struct buf *to, cairn_str schema, cairn_str component);

#endif

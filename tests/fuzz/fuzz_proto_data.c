/* Bytes as values of files that hold every kind of field: checking ends, stays inside, and says where. */
#include <schema/protobuf.h>

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                           \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                       \
            abort();                                                                                              \
        }                                                                                                         \
    } while (0)

static const char *const texts[] = {
    "syntax=\"proto2\"; message A { optional int32 i=1; required A.B b=2; repeated group G=3 { optional A a=1; required bool r=2; }"
    " repeated sfixed64 f=4 [packed=true]; message B { optional string s=1; optional E e=2; } enum E { X=1; } } message C {}",
    "syntax=\"proto3\"; message A { map<string,A> m=1; repeated double d=2; oneof o { string s=3; bytes b=4; A a=5; } repeated int64 n=6;"
    " float f=7; fixed32 x=8; message N { message M { A a=1; } } }",
};
#define COUNT (sizeof texts / sizeof texts[0])

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct protobuf_schema *schemas[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        if (!schemas[i])
            MUST(protobuf_compile(cairn_cstr(texts[i]), NULL, 0, &schemas[i], NULL) == CAIRN_OK);
    for (size_t i = 0; i < COUNT; i++) {
        cairn_error error = {.detail = ""};
        cairn_err err = protobuf_check(schemas[i], (cairn_str){(const char *)data, size}, &error);
        MUST(err == CAIRN_OK || (err == CAIRN_E_INVALID && error.detail[0]));
    }
    return 0;
}

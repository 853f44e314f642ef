#!/bin/bash
# Write an assembler file that holds the console's built files and the table of them (src/proto/http/console.h).
# Usage: console-embed.sh FOLDER OUT.S     FOLDER may be empty: then the table is. The compressed files go to OUT.S.d/.
set -eu
folder=$1 out=$2
export LC_ALL=C
mkdir -p "$(dirname "$out")"
rm -rf "$out.d"
mkdir "$out.d"

type_of() {
    case $1 in
    *.html) echo "text/html; charset=utf-8" ;;
    *.js) echo "text/javascript; charset=utf-8" ;;
    *.css) echo "text/css; charset=utf-8" ;;
    *.svg) echo "image/svg+xml" ;;
    *.json) echo "application/json" ;;
    *.webmanifest) echo "application/manifest+json" ;;
    *.png) echo "image/png" ;;
    *.txt) echo "text/plain; charset=utf-8" ;;
    *) echo "application/octet-stream" ;;
    esac
}
string() { printf '%s: .asciz "%s"\n' "$1" "${2//\"/\\\"}"; } # LABEL TEXT
blob() { printf '%s: .incbin "%s"\n%s_end: .byte 0\n' "$1" "$2" "$1"; } # LABEL FILE

count=0 table=
{
    echo '/* Made by scripts/console-embed.sh. */'
    echo '    .section .rodata, "a", %progbits'
    while IFS= read -r path; do
        n=$((count++)) file=$folder/$path
        etag=$(sha256sum "$file" | cut -c1-20)
        string ".Lpath$n" "$path"
        string ".Ltype$n" "$(type_of "$path")"
        string ".Letag$n" "\"$etag\""
        string ".Lgzip_etag$n" "\"$etag-gzip\""
        blob ".Lbytes$n" "$PWD/$file"
        gzip=0 gzip_size=0
        gzip -9nc "$file" >"$out.d/$n.gz"
        if [ "$(stat -c %s "$out.d/$n.gz")" -lt "$(stat -c %s "$file")" ]; then
            blob ".Lgzip$n" "$PWD/$out.d/$n.gz"
            gzip=.Lgzip$n gzip_size=".Lgzip${n}_end - .Lgzip$n"
        fi
        table+="    .dc.a .Lpath$n, .Ltype$n, .Letag$n, .Lgzip_etag$n, .Lbytes$n
    .dc.a .Lbytes${n}_end - .Lbytes$n
    .dc.a $gzip
    .dc.a $gzip_size
"
    done < <(cd "$folder" && find . -type f ! -name '.*' | sed 's|^\./||' | sort)
    echo '    .section .data.rel.ro, "aw", %progbits'
    echo '    .balign 8'
    echo '    .globl console_files'
    echo '    .hidden console_files'
    echo '    .type console_files, %object'
    echo 'console_files:'
    printf '%s' "$table"
    echo '    .dc.a 0, 0, 0, 0, 0, 0, 0, 0'
    echo '    .size console_files, . - console_files'
    echo '    .section .note.GNU-stack, "", %progbits'
} >"$out.tmp"
mv "$out.tmp" "$out"

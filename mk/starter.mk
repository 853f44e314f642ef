# The files of templates/ become part of the program (src/app/starter.c): a changed one compiles it anew.
$(B)/obj/src/app/starter.o: $(shell find templates -type f 2>/dev/null)

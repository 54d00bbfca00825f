#include "check.h"
void check_graphs() {}

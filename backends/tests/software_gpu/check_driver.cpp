#include "check.h"
void check_driver() {}

/* Classifies two flowers with the program that `gradloom compile classifier.mlir -o classifier.o` wrote. */
#include "classifier.h"
#include <stdio.h>

int main(void) {
    const float flowers[2][4] = {{0.5f, -1.0f, 2.0f, 0.25f}, {1.0f, 1.0f, -0.5f, 0.0f}};
    float chances[2][3];
    if (classifier_run(&flowers[0][0], &chances[0][0]) != 0) {
        fprintf(stderr, "%s\n", gradloom_error());
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        printf("%.6f %.6f %.6f\n", chances[i][0], chances[i][1], chances[i][2]);
    }
    return 0;
}

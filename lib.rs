//! gradloom

//! How answers are shown.

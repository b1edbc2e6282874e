//! What one load test found, or two side by side, for people to keep: `xcloud report`.
//!
//! One direction: files -> [`facts`] -> [`doubts`] and [`missing`] -> a page, Markdown, JSON or CSV.

pub mod chart;
pub mod command;
pub mod csv;
pub mod doubts;
pub mod facts;
pub mod figure;
pub mod html;
pub mod markdown;
pub mod matrix;
pub mod missing;
pub mod verdict;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

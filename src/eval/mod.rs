//! Measures rankings against what people judged. Knows neither engines nor models.

mod ndcg;

pub use ndcg::Judgments;

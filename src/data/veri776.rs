//! VeRi-776 (Liu, Liu, Mei, Ma: "A Deep Learning-Based Approach to Progressive Vehicle Re-identification for Urban
//! Surveillance", ECCV 2016): vehicles under 20 cameras. `0001_c001_00016450_0.jpg` is vehicle 1, camera 1.
//!
//! Each query is in the gallery too; evaluation drops it with the other images of its vehicle and camera.

/// The folders of the training, query and gallery images. The lists `name_*.txt` beside them name the same images.
pub const FOLDERS: [&str; 3] = ["image_train", "image_query", "image_test"];

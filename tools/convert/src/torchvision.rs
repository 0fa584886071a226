//! torchvision

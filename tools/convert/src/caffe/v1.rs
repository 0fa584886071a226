//! Layer types of the older form, V1LayerParameter: numbers in files, words in prototxts. The current form has texts.

/// `V1LayerParameter.LayerType`: word, number, and the type in the current form.
const KINDS: [(&str, u64, &str); 39] = [
    ("ACCURACY", 1, "Accuracy"),
    ("BNLL", 2, "BNLL"),
    ("CONCAT", 3, "Concat"),
    ("CONVOLUTION", 4, "Convolution"),
    ("DATA", 5, "Data"),
    ("DROPOUT", 6, "Dropout"),
    ("EUCLIDEAN_LOSS", 7, "EuclideanLoss"),
    ("FLATTEN", 8, "Flatten"),
    ("HDF5_DATA", 9, "HDF5Data"),
    ("HDF5_OUTPUT", 10, "HDF5Output"),
    ("IM2COL", 11, "Im2col"),
    ("IMAGE_DATA", 12, "ImageData"),
    ("INFOGAIN_LOSS", 13, "InfogainLoss"),
    ("INNER_PRODUCT", 14, "InnerProduct"),
    ("LRN", 15, "LRN"),
    ("MULTINOMIAL_LOGISTIC_LOSS", 16, "MultinomialLogisticLoss"),
    ("POOLING", 17, "Pooling"),
    ("RELU", 18, "ReLU"),
    ("SIGMOID", 19, "Sigmoid"),
    ("SOFTMAX", 20, "Softmax"),
    ("SOFTMAX_LOSS", 21, "SoftmaxWithLoss"),
    ("SPLIT", 22, "Split"),
    ("TANH", 23, "TanH"),
    ("WINDOW_DATA", 24, "WindowData"),
    ("ELTWISE", 25, "Eltwise"),
    ("POWER", 26, "Power"),
    ("SIGMOID_CROSS_ENTROPY_LOSS", 27, "SigmoidCrossEntropyLoss"),
    ("HINGE_LOSS", 28, "HingeLoss"),
    ("MEMORY_DATA", 29, "MemoryData"),
    ("ARGMAX", 30, "ArgMax"),
    ("THRESHOLD", 31, "Threshold"),
    ("DUMMY_DATA", 32, "DummyData"),
    ("SLICE", 33, "Slice"),
    ("MVN", 34, "MVN"),
    ("ABSVAL", 35, "AbsVal"),
    ("SILENCE", 36, "Silence"),
    ("CONTRASTIVE_LOSS", 37, "ContrastiveLoss"),
    ("EXP", 38, "Exp"),
    ("DECONVOLUTION", 39, "Deconvolution"),
];

/// Type of a number.
pub fn kind(number: u64) -> String {
    let known = KINDS.iter().find(|(_, known, _)| *known == number);
    known.map_or_else(|| format!("V1 type {number}"), |(_, _, kind)| (*kind).into())
}

/// Number of a word.
pub fn number(word: &[u8]) -> Option<u64> {
    KINDS.iter().find(|(known, _, _)| known.as_bytes() == word).map(|(_, number, _)| *number)
}

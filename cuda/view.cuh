// The view of a training image: mirrored, padded, cropped at a random place; as `View` in src/data/augment.rs, bit for
// bit.
#pragma once

#include "common.cuh"
#include "philox.cuh"

namespace view {

// The mode of mirroring: never; each image with probability 1/2; always, for the features of mirror images.
enum Flip : int { NEVER = 0, BY_CHANCE = 1, ALWAYS = 2 };

// The augmentation of an image. `edge` continues the image's edge in the padding, which is black otherwise.
struct Augmentation {
    int flip, pad, edge;
};

// RGB bytes [n, image_height, image_width, 3]; a view of an image has [height, width] pixels.
struct Images {
    const uint8_t* bytes;
    int n, image_height, image_width, height, width;
};

// An image of the data set (-1 for none) and its augmentation.
struct View {
    int image, flip, top, left;
};

// The random numbers of image `slot` of the batch.
__device__ __forceinline__ Philox draws(uint64_t seed, int step, int slot) {
    return {seed, static_cast<uint32_t>(step), static_cast<uint32_t>(slot), RngStream::Augment};
}

// The view of image `number` with these random numbers.
__device__ __forceinline__ View of(const Images& images, const Augmentation& augmentation, int number, Philox draws) {
    const uint4 words = draws.block(0);
    const int pad = augmentation.pad;
    const int rows = 2 * pad + images.image_height - images.height + 1;
    const int columns = 2 * pad + images.image_width - images.width + 1;
    const bool mirrored =
        augmentation.flip == ALWAYS || (augmentation.flip == BY_CHANCE && below(words.x, 2) == 1);
    const int image = 0 <= number && number < images.n ? number : -1;
    return {image, mirrored, static_cast<int>(below(words.y, rows)) - pad,
            static_cast<int>(below(words.z, columns)) - pad};
}

// The bytes of the pixel that pixel `i` of a view shows; null where it is black.
__device__ __forceinline__ const uint8_t* pixel(const Images& images, const View& seen, int edge, int i) {
    const int height = images.image_height, width = images.image_width;
    const int y = i / images.width + seen.top, x = i % images.width + seen.left;
    const int row = min(max(y, 0), height - 1), column = min(max(x, 0), width - 1);
    if (seen.image < 0 || !(edge || (row == y && column == x))) return nullptr;
    const uint8_t* image = images.bytes + static_cast<size_t>(seen.image) * height * width * 3;
    return image + (row * width + (seen.flip ? width - 1 - column : column)) * 3;
}

}

#include "library.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <elf.h>
#include <link.h>

// Defined by the build: the common place of all `extern __shared__` arrays.
extern __thread char softcuda_dynamic_shared[] __attribute__((visibility("hidden")));

namespace softcuda {

namespace {

std::vector<Kernel>& registry() {
    static std::vector<Kernel> kernels;  // registration runs before main, in no known order
    return kernels;
}

struct Loaded {
    Image* image;
    void* thread_local_data;
};

// Finds the library that holds this very function.
int visit_library(dl_phdr_info* info, std::size_t, void* data) {
    auto* loaded = static_cast<Loaded*>(data);
    const auto here = reinterpret_cast<uintptr_t>(&visit_library);
    uintptr_t begin = ~uintptr_t(0), end = 0;
    std::size_t thread_local_bytes = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const auto& segment = info->dlpi_phdr[i];
        if (segment.p_type == PT_TLS) thread_local_bytes = segment.p_memsz;
        if (segment.p_type != PT_LOAD) continue;
        const uintptr_t at = info->dlpi_addr + segment.p_vaddr;
        if (at < begin) begin = at;
        if (at + segment.p_memsz > end) end = at + segment.p_memsz;
    }
    if (here < begin || here >= end) return 0;
    loaded->thread_local_data = info->dlpi_tls_data;
    if (loaded->image)
        *loaded->image = {info->dlpi_name, info->dlpi_addr, begin, end, thread_local_bytes, {}};
    return 1;
}

std::string readable(const char* symbol) {
    int status = 0;
    char* demangled = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
    std::string name = status == 0 ? demangled : symbol;
    std::free(demangled);
    const std::size_t last = name.rfind("::");
    return last == std::string::npos ? name : name.substr(last + 2);
}

void read_arrays(Image& image) {
    FILE* file = std::fopen(image.path.c_str(), "rb");
    if (!file) return;
    std::string data;
    char part[1 << 16];
    while (std::size_t n = std::fread(part, 1, sizeof part, file)) data.append(part, n);
    std::fclose(file);
    if (data.size() < sizeof(ElfW(Ehdr))) return;
    const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(data.data());
    const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(data.data() + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB) continue;
        const char* names = data.data() + sections[sections[i].sh_link].sh_offset;
        const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(data.data() + sections[i].sh_offset);
        for (std::size_t s = 0; s < sections[i].sh_size / sizeof(ElfW(Sym)); s++) {
            const auto& symbol = symbols[s];
            if (ELF64_ST_TYPE(symbol.st_info) != STT_TLS || symbol.st_shndx == SHN_UNDEF
                || symbol.st_size == 0) continue;
            const char* name = names + symbol.st_name;
            const bool dynamic = std::strcmp(name, "softcuda_dynamic_shared") == 0;
            image.arrays.push_back({dynamic ? "dynamic shared memory" : readable(name), symbol.st_value,
                                    symbol.st_size, dynamic});
        }
    }
    std::sort(image.arrays.begin(), image.arrays.end(),
              [](const SharedArray& a, const SharedArray& b) { return a.offset < b.offset; });
}

}

const std::vector<Kernel>& kernels() { return registry(); }

const Kernel* find_kernel(const char* name) {
    for (const Kernel& kernel : registry())
        if (kernel.name == name) return &kernel;
    return nullptr;
}

void register_kernel(const char* names, std::size_t index, Function function, Thunk thunk,
                     const Parameter* parameters, std::size_t count) {
    // `names` is the macro's argument list as text: the kernel's name is its part number `index`. A comma inside the
    // angle brackets of a template's arguments separates nothing.
    std::string name;
    std::size_t part = 0;
    int depth = 0;
    for (const char* c = names; *c && part <= index; c++) {
        depth += (*c == '<') - (*c == '>');
        if (*c == ',' && depth == 0) part++;
        else if (part == index && *c != ' ') name += *c;
    }
    Kernel kernel{name, function, thunk, {parameters, parameters + count}, {}};
    for (const Parameter& parameter : kernel.parameters) kernel.description += parameter.kind +
        std::to_string(parameter.bytes);
    registry().push_back(kernel);
}

const Image& image() {
    static const Image found = [] {
        Image image;
        Loaded loaded{&image, nullptr};
        dl_iterate_phdr(visit_library, &loaded);
        read_arrays(image);
        return image;
    }();
    return found;
}

uintptr_t thread_local_block() {
    // The first touch makes the block.
    asm volatile("" : : "r"(softcuda_dynamic_shared) : "memory");
    Loaded loaded{nullptr, nullptr};
    dl_iterate_phdr(visit_library, &loaded);
    return reinterpret_cast<uintptr_t>(loaded.thread_local_data);
}

std::string source_line(const void* pc) {
    const std::vector<std::string> lines = source_lines(pc);
    return lines.empty() ? "" : lines.front();
}

std::vector<std::string> source_lines(const void* pc) {
    const Image& library = image();
    if (!pc || library.path.empty()) return {};
    std::string quoted = "'";
    for (char c : library.path) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    quoted += "'";
    char command[4096];
    // One less than the return address lies inside the call.
    const unsigned long at = reinterpret_cast<uintptr_t>(pc) - library.load_address - 1;
    std::snprintf(command, sizeof command, "addr2line -i -e %s 0x%lx 2>/dev/null", quoted.c_str(), at);
    FILE* pipe = popen(command, "r");
    if (!pipe) return {};
    std::vector<std::string> lines;
    char line[4096];
    // The innermost frame comes first; frames in softcuda's own headers are skipped, because the error is in their
    // caller.
    while (std::fgets(line, sizeof line, pipe)) {
        std::string where(line, std::strcspn(line, " \n"));
        if (where.empty() || where[0] == '?') continue;
        if (where.find("/softcuda/include/") == std::string::npos) lines.push_back(where);
    }
    pclose(pipe);
    return lines;
}

}

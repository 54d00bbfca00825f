// The text of kernels: what of it must be known before it is compiled.
#pragma once
#include <string>
#include <vector>

struct Source {
    struct Kernel {
        std::string name, bounds;  // the first number of its launch bounds, as it is written
        bool is_template;
        size_t params;
    };
    std::string text;  // with shared memory declared as this machine needs it
    std::vector<Kernel> kernels;
    bool waits = false;
};

// whether the text can be read; else the log says why
bool read_source(const std::string& text, Source& out, std::string& log);
// the table of kernels, as C++
std::string entries(const Source& s, const std::vector<std::string>& expressions);

// compiled objects that are kept, in the folder that SOFTWARE_GPU_CACHE names
std::string kept_path(const std::string& key);
bool read_kept(const std::string& path, const std::string& key, std::string& object);
void keep(const std::string& path, const std::string& key, const std::string& object);

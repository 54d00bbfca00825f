// Reads the text of kernels: their names and bounds, and where they declare shared memory.
#include "source.h"
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

struct Token {
    size_t from, to;
};

static bool word(char c) { return isalnum((unsigned char)c) || c == '_'; }

// words, numbers, strings and signs, without comments and the lines of the preprocessor
static std::vector<Token> tokens(const std::string& t) {
    std::vector<Token> all;
    bool line_start = true;
    for (size_t i = 0; i < t.size();) {
        const size_t from = i;
        if (t[i] == '\n') {
            line_start = true;
            i++;
        } else if (isspace((unsigned char)t[i])) {
            i++;
        } else if (t[i] == '#' && line_start) {
            while (i < t.size() && t[i] != '\n') i += t[i] == '\\' ? 2 : 1;
        } else if (t.compare(i, 2, "//") == 0) {
            while (i < t.size() && t[i] != '\n') i++;
        } else if (t.compare(i, 2, "/*") == 0) {
            const size_t end = t.find("*/", i + 2);
            i = end == std::string::npos ? t.size() : end + 2;
        } else {
            line_start = false;
            if (t[i] == '"' || t[i] == '\'') {
                const char quote = t[i++];
                while (i < t.size() && t[i] != quote) i += t[i] == '\\' ? 2 : 1;
                i++;
            } else if (word(t[i])) {
                while (i < t.size() && word(t[i])) i++;
            } else {
                i++;
            }
            if (i > t.size()) i = t.size();
            all.push_back({from, i});
        }
    }
    return all;
}

struct Reader {
    const std::string& text;
    std::vector<Token> all;
    std::string at(size_t i) const { return i < all.size() ? text.substr(all[i].from, all[i].to - all[i].from) : ""; }
    // behind what closes the bracket at i
    size_t behind(size_t i, const char* open, const char* close) const {
        int depth = 0;
        for (; i < all.size(); i++) {
            if (at(i) == open) depth++;
            if (at(i) == close && --depth == 0) return i + 1;
        }
        return i;
    }
};

static bool is_word(const std::string& s) { return !s.empty() && word(s[0]) && !isdigit((unsigned char)s[0]); }

struct Change {
    size_t from, to;
    std::string by;
};

// `extern __shared__ T name[];`: a reference to where the memory begins, which the launch says
static void dynamic_shared(const Reader& r, size_t i, std::vector<Change>& changes) {
    size_t end = i;
    while (end < r.all.size() && r.at(end) != ";") end++;
    size_t bracket = i;
    while (bracket < end && r.at(bracket) != "[") bracket++;
    if (end >= r.all.size() || bracket >= end) return;
    const std::string name = r.at(bracket - 1);
    std::string type;
    for (size_t k = i + 2; k + 1 < bracket; k++) {
        if (r.at(k) == "__align__" || r.at(k) == "alignas") {
            k = r.behind(k + 1, "(", ")") - 1;
            continue;
        }
        type += r.at(k) + " ";
    }
    changes.push_back({r.all[i].from, r.all[end].to,
                       "static " + type + "*& " + name + " = (" + type + "*&)software_gpu_thread.dynamic_shared;"});
}

bool read_source(const std::string& text, Source& out, std::string& log) {
    Reader r{text, tokens(text)};
    std::vector<Change> changes;
    for (size_t i = 0; i < r.all.size(); i++) {
        if (r.at(i) == "extern" && r.at(i + 1) == "__shared__") dynamic_shared(r, i, changes);
        if (r.at(i) != "__global__") continue;
        Source::Kernel k;
        k.is_template = false;
        // back to the end of what came before: is it a template?
        for (size_t b = i; b-- > 0 && r.at(b) != ";" && r.at(b) != "}";) k.is_template = k.is_template || r.at(b) == "template";
        size_t j = i + 1;
        for (; j < r.all.size() && r.at(j) != ";" && r.at(j) != "{"; j++) {
            if (r.at(j) == "__launch_bounds__" && r.at(j + 1) == "(") {
                const size_t end = r.behind(j + 1, "(", ")");
                size_t stop = j + 2, depth = 0;
                for (; stop + 1 < end && !(r.at(stop) == "," && depth == 0); stop++) {
                    depth += r.at(stop) == "(";
                    depth -= r.at(stop) == ")";
                }
                k.bounds = text.substr(r.all[j + 2].from, r.all[stop - 1].to - r.all[j + 2].from);
                j = end - 1;
            } else if (is_word(r.at(j)) && r.at(j + 1) == "(" && r.at(j) != "__align__" && r.at(j) != "__attribute__" && r.at(j) != "alignas") {
                k.name = r.at(j);
                const size_t end = r.behind(j + 1, "(", ")");
                k.params = r.at(j + 2) == ")" ? 0 : 1;
                for (size_t c = j + 2; c < end; c++) k.params += r.at(c) == ",";
                j = end;
                break;
            }
        }
        if (k.name.empty()) {
            log = "a kernel without a name\n";
            return false;
        }
        while (j < r.all.size() && r.at(j) != "{" && r.at(j) != ";") j++;
        if (r.at(j) != "{") continue;  // it is only declared
        const size_t end = r.behind(j, "{", "}");
        for (size_t b = j; b < end; b++)
            if (r.at(b) == "__shared__" && r.at(b - 1) != "extern" && !k.is_template)
                changes.push_back({r.all[b].from, r.all[b].to, "software_gpu_shared(" + std::to_string(out.kernels.size()) + ")"});
        for (size_t b = j; b < end; b++)
            if (r.at(b) == "extern" && r.at(b + 1) == "__shared__") dynamic_shared(r, b, changes);
        out.kernels.push_back(k);
        i = end - 1;
    }
    out.text.clear();
    size_t at = 0;
    for (const Change& c : changes) {
        out.text += text.substr(at, c.from - at) + c.by;
        at = c.to;
    }
    out.text += text.substr(at);
    return true;
}

std::string entries(const Source& s, const std::vector<std::string>& expressions) {
    std::string declared, table;
    size_t count = 0;
    auto entry = [&](const std::string& name, const std::string& call, const std::string& bounds, const std::string& section) {
        std::string quoted;
        for (char c : name) quoted += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
        const std::string type = "software_gpu_entry<(" + call + ")>";
        table += "    {\"" + quoted + "\", " + type + "::thread, " + type + "::block, " + type + "::params, sizeof(" + type +
                 "::params) / sizeof(SoftwareGpuParam) - 1, " + (bounds.empty() ? "1024" : "(int)(" + bounds + ")") + ", " +
                 (section.empty() ? "nullptr, nullptr" : "__start_" + section + ", __stop_" + section) + "},\n";
        count++;
    };
    for (size_t i = 0; i < s.kernels.size(); i++) {
        const Source::Kernel& k = s.kernels[i];
        if (k.is_template) continue;
        const std::string section = "gpu_shared_" + std::to_string(i);
        declared += "SOFTWARE_GPU_SECTION(" + section + ")\n";
        entry(k.name, "&" + k.name, k.bounds, section);
    }
    for (const std::string& e : expressions) {
        std::string plain = e.substr(e.find_first_not_of(" &") == std::string::npos ? 0 : e.find_first_not_of(" &"));
        const std::string name = plain.substr(0, plain.find('<'));
        bool there = false;
        std::string bounds;
        for (const Source::Kernel& k : s.kernels) {
            there = there || (k.name == e && !k.is_template);
            // those of a template may be of its parameters, which have no value here
            if (k.name == name && (!k.is_template || k.bounds.find_first_not_of("0123456789 ()+-*/") == std::string::npos)) bounds = k.bounds;
        }
        if (!there) entry(e, "&" + plain, bounds, "");
    }
    if (count == 0) table = "    {nullptr, nullptr, nullptr, nullptr, 0, 0, nullptr, nullptr},\n";
    return "#line 1 \"entries\"\n" + declared + "static const SoftwareGpuKernel software_gpu_kernels[] = {\n" + table +
           "};\nextern \"C\" __attribute__((visibility(\"default\"))) SoftwareGpuModule software_gpu_module;\nSoftwareGpuModule software_gpu_module = {"
           "SOFTWARE_GPU_VERSION, software_gpu_kernels, " +
           std::to_string(count) + ", &software_gpu_thread, &software_gpu_runtime, __start_gpu_shared, __stop_gpu_shared, __start_gpu_waits, __stop_gpu_waits};\n";
}

// ---- what is kept

std::string kept_path(const std::string& key) {
    const char* folder = getenv("SOFTWARE_GPU_CACHE");
    if (folder == nullptr || *folder == 0) return "";
    unsigned long long h = 1469598103934665603ull;
    for (unsigned char c : key) h = (h ^ c) * 1099511628211ull;
    char name[32];
    snprintf(name, sizeof name, "/%016llx.kernel", h);
    return std::string(folder) + name;
}

bool read_kept(const std::string& path, const std::string& key, std::string& object) {
    if (path.empty()) return false;
    FILE* f = fopen(path.c_str(), "rb");
    if (f == nullptr) return false;
    std::string all;
    char part[65536];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) all.append(part, n);
    fclose(f);
    // the whole key lies before the object, since numbers of texts may meet
    if (all.size() <= key.size() + 1 || all.compare(0, key.size(), key) != 0 || all[key.size()] != 0) return false;
    object = all.substr(key.size() + 1);
    return true;
}

void keep(const std::string& path, const std::string& key, const std::string& object) {
    if (path.empty()) return;
    // written aside and then renamed, so that another process finds all of it or nothing
    const std::string aside = path + "." + std::to_string(getpid()) + "." + std::to_string((unsigned long long)(size_t)&key);
    FILE* f = fopen(aside.c_str(), "wb");
    if (f == nullptr) return;
    const bool whole = fwrite(key.data(), 1, key.size(), f) == key.size() && fputc(0, f) == 0 &&
                       fwrite(object.data(), 1, object.size(), f) == object.size();
    if (fclose(f) == 0 && whole)
        rename(aside.c_str(), path.c_str());
    else
        unlink(aside.c_str());
}

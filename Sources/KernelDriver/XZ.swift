import Glibc

/// What xz(1) has compressed, by liblzma, which every Debian has for dpkg(1): loaded when it is needed, for most machines need it
/// at no time.
enum XZ {
    private typealias Decode =
        @convention(c) (
            UnsafeMutablePointer<UInt64>, UInt32, UnsafeRawPointer?, UnsafePointer<UInt8>, UnsafeMutablePointer<Int>,
            Int,
            UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<Int>, Int
        ) -> Int32

    /// The most that is taken, and that the library may use: bytes.
    private static let limit = 1 << 24

    /// - Returns: nil for what is damaged or too large, and where there is no such library.
    static func decompressed(_ bytes: [UInt8]) -> [UInt8]? {
        guard let library = dlopen("liblzma.so.5", RTLD_NOW | RTLD_LOCAL) else { return nil }
        defer { dlclose(library) }
        // lzma_stream_buffer_decode of lzma/container.h
        guard let symbol = dlsym(library, "lzma_stream_buffer_decode") else { return nil }
        let decode = unsafeBitCast(symbol, to: Decode.self)
        var (memory, read, written) = (UInt64(limit), 0, 0)
        let result = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            let status = decode(&memory, 0, nil, bytes, &read, bytes.count, start, &written, limit)
            // LZMA_OK
            if status == 0 { count = written }
        }
        return result.isEmpty ? nil : result
    }
}

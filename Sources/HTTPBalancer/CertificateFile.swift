import CTLS

/// Certificates with their key, as TLS servers have them in a file.
struct CertificateFile: Hashable {
    let bytes: [UInt8]

    /// - Throws: where nobody could be served with it.
    init(_ bytes: [UInt8], of path: String) throws(BalancerError) {
        self.bytes = bytes
        if let flaw = Self.flaw(of: bytes) { throw BalancerError("\(path) \(flaw)") }
    }

    /// As HAProxy takes it on its socket, where an empty line is the end.
    var lines: String {
        String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
            .filter { !$0.allSatisfy(\.isWhitespace) }.joined(separator: "\n")
    }

    private static func flaw(of bytes: [UInt8]) -> String? {
        defer { ERR_clear_error() }
        guard let certificate = read(bytes, { PEM_read_bio_X509($0, nil, nil, nil) }) else {
            return "has no certificate"
        }
        defer { X509_free(certificate) }
        // Who asks for a password gets none.
        let key = read(bytes) { PEM_read_bio_PrivateKey($0, nil, { _, _, _, _ in -1 }, nil) }
        guard let key else { return "has no private key that can be read without a password" }
        defer { EVP_PKEY_free(key) }
        if X509_check_private_key(certificate, key) != 1 { return "has the key of another certificate" }
        if X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0 { return "has expired" }
        if X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0 { return "is not valid yet" }
        return nil
    }

    private static func read(
        _ bytes: [UInt8], _ body: (OpaquePointer?) -> OpaquePointer?
    ) -> OpaquePointer? {
        bytes.withUnsafeBytes { bytes in
            guard let source = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count)) else { return nil }
            defer { BIO_free(source) }
            return body(source)
        }
    }
}

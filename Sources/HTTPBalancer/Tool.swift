import Glibc

/// Another program, run to its end.
struct Tool {
    var status: Int32
    /// Standard output and error.
    var output: String

    /// - Parameters:
    ///   - command: Its path and its arguments.
    ///   - output: Where its output goes that is not read; nil: it is read.
    init(_ command: [String], output path: String? = nil, seconds: Int = 30) throws(BalancerError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .system("pipe") }
        let (reading, writing) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(reading) }
        let process: pid_t
        do throws(BalancerError) {
            process = try Self.start(command, output: path, orTo: writing)
        } catch {
            close(writing)
            throw error
        }
        close(writing)
        var text: [UInt8] = []
        let deadline = ContinuousClock.now + .seconds(seconds)
        var isOver = false
        while !isOver {
            let left = ContinuousClock.now.duration(to: deadline)
            var entry = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
            if left <= .zero { break }
            guard poll(&entry, 1, Int32(left.components.seconds * 1000 + 1000)) > 0 else { continue }
            var chunk = [UInt8](repeating: 0, count: 4096)
            let count = read(reading, &chunk, chunk.count)
            if count > 0, text.count < 64 << 10 { text += chunk[..<count] }
            isOver = count == 0
        }
        if !isOver { kill(process, SIGKILL) }
        var raw: Int32 = 0
        while waitpid(process, &raw, 0) < 0, errno == EINTR {}
        guard isOver else { throw BalancerError("\(command[0]) has not ended after \(seconds) s") }
        status = raw & 0x7F == 0 ? raw >> 8 & 0xFF : 128 + raw & 0x7F
        self.output = String(decoding: text, as: UTF8.self)
    }

    private static func start(
        _ command: [String], output path: String?, orTo writing: Int32
    ) throws(BalancerError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        if let path {
            posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        } else {
            posix_spawn_file_actions_adddup2(&actions, writing, STDOUT_FILENO)
        }
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        // Nothing of the daemon's: not where it reports to the service manager.
        var variables: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil]
        defer { for variable in variables { free(variable) } }
        var process: pid_t = 0
        let failure = posix_spawn(&process, command[0], &actions, &attributes, &arguments, &variables)
        guard failure == 0 else { throw .system("start \(command[0])", failure) }
        return process
    }
}

import Glibc
import Synchronization

/// Work handed to a thread that waits in poll(2).
final class Mailbox<Message: Sendable>: Sendable {
    /// Readable when there is something.
    let fileDescriptor: Int32
    private let bell: Int32
    private let messages = Mutex<[Message]?>([])

    init() throws(AgentError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .system("pipe") }
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        (fileDescriptor, bell) = (ends[0], ends[1])
    }

    deinit {
        Glibc.close(fileDescriptor)
        Glibc.close(bell)
    }

    /// - Returns: False where nobody takes anything any more.
    func post(_ message: Message) -> Bool {
        let isTaken = messages.withLock { messages -> Bool in
            messages?.append(message)
            return messages != nil
        }
        // A pipe that is full rings already.
        _ = write(bell, [0], 1)
        return isTaken
    }

    func take() -> [Message] {
        var rings = [UInt8](repeating: 0, count: 4096)
        while read(fileDescriptor, &rings, rings.count) == rings.count {}
        return messages.withLock { messages in
            defer { if messages != nil { messages = [] } }
            return messages ?? []
        }
    }

    /// Takes what is left; nothing is taken afterwards.
    func close() -> [Message] {
        messages.withLock { messages in
            defer { messages = nil }
            return messages ?? []
        }
    }
}

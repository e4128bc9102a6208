import Glibc
import KernelModel
import Netlink

extension NetlinkError {
    /// Whether the kernel has no such address family.
    var isFamilyMissing: Bool { errno == EAFNOSUPPORT || errno == EOPNOTSUPP || errno == EPFNOSUPPORT }

    /// Whether what was to be deleted was not there: each kind has its own number for that.
    var isAbsence: Bool {
        switch errno {
        case ESRCH, ENOENT, ENODEV, EADDRNOTAVAIL: true
        default: false
        }
    }

    var reason: CommitReport.Reason {
        .refused(
            code: errnoName, message: message ?? errnoDescription,
            attribute: attribute.map { isMissing ? "\($0) missing" : $0 })
    }
}

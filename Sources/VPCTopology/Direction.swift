internal import VPCModel

/// The two lists of a security group or ACL, by the name of their field.
enum Direction: String {
    case ingress
    case egress

    func path(_ position: Int) -> FieldPath { ["spec", .key(rawValue), .index(position)] }
}

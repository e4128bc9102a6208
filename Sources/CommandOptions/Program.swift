/// What all programs of this package share.
public enum Program {
    public static let version = "0.1.0"
}

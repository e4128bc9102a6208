/// `a`, `a and b`, `a, b, c and 4 more`.
func listed(_ names: [String]) -> String {
    guard names.count > 1 else { return names.first ?? "" }
    if names.count > 4 { return names.prefix(3).joined(separator: ", ") + " and \(names.count - 3) more" }
    return names.dropLast().joined(separator: ", ") + " and " + names[names.count - 1]
}

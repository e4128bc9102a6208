import Testing

/// Everything that makes network namespaces, one after the other: what is measured in one must not disturb another.
@Suite(.serialized) enum LabTests {}

import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Cuts off who sends a request drop by drop, and who does not take his answer.
///
/// The time for a whole request is bounded, and the time in which nothing of an answer gets away. How long an answer takes
/// to be made is not.
final class StalledConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let patience: TimeAmount
    private var request: Scheduled<Void>?
    private var answer: Scheduled<Void>?
    private var unwritten = 0

    init(patience: TimeAmount) { self.patience = patience }

    func handlerRemoved(context: ChannelHandlerContext) { cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        cancel()
        context.fireChannelInactive()
    }

    private func cancel() {
        request?.cancel()
        answer?.cancel()
        (request, answer) = (nil, nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            request?.cancel()
            request = limit(context)
        case .body: break
        case .end:
            request?.cancel()
            request = nil
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let written = promise ?? context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        unwritten += 1
        if answer == nil { answer = limit(context) }
        written.futureResult.whenComplete { _ in
            let (handler, context) = bound.value
            handler.unwritten -= 1
            handler.answer?.cancel()
            handler.answer = handler.unwritten > 0 ? handler.limit(context) : nil
        }
        context.write(data, promise: written)
    }

    private func limit(_ context: ChannelHandlerContext) -> Scheduled<Void> {
        let channel = context.channel
        return context.eventLoop.scheduleTask(in: patience) { channel.close(promise: nil) }
    }
}
